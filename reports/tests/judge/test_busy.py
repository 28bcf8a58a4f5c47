"""Warnings about the machine, from facts."""

from __future__ import annotations

from typing import Any

import pytest
from evidence.judge.busy import concerns, warnings
from few_rows import pack_of

QUIET: dict[str, Any] = {
    "cores_usable": 2,
    "hypervisor": True,
    "load_others": 0.1,
    "setup": {"cores": {"threads_of_one_core": []}, "limits": {"cpu_quota_cores": "no limit"}},
    "during_run": {
        "stolen_share": 0.01,
        "stops_by_quota": 0,
        "seconds_stopped_by_quota": 0.0,
        "times_slowed_by_heat": 0,
    },
}


def test_a_quiet_machine_and_an_unknown_one_raise_no_concern() -> None:
    assert concerns(QUIET) == []
    assert concerns({}) == []
    unknown = dict.fromkeys(QUIET) | {"setup": {"cores": {}, "limits": {"cpu_quota_cores": None}}}
    assert concerns(unknown) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"load_others": 1.5}, "This run began on a busy machine: other programs used 1.50 of 2 cores"),
        ({"during_run": {"stolen_share": 0.07}}, "The hypervisor gave 7% of this machine's processor time"),
        (
            {"during_run": {"stops_by_quota": 12, "seconds_stopped_by_quota": 3.5}},
            "The container's CPU quota stopped processes 12 times during the run, 3.50 s in all.",
        ),
        ({"during_run": {"times_slowed_by_heat": 1}}, "The processor slowed down 1 time because of its temperature"),
        ({"setup": {"limits": {"cpu_quota_cores": 1.5}}}, "The CPU quota is worth 1.50 of 2 usable cores"),
        (
            {"setup": {"cores": {"threads_of_one_core": ["0-1"]}}},
            "Usable cores of this virtual machine are hardware threads of one core (0-1)",
        ),
    ],
)
def test_each_concern_is_one_sentence_with_advice(change: dict[str, Any], sentence: str) -> None:
    (concern,) = concerns(QUIET | change)
    assert concern.sentence.startswith(sentence)
    assert concern.advice


def test_a_quota_of_as_many_cores_as_are_usable_is_no_concern() -> None:
    assert concerns(QUIET | {"setup": {"limits": {"cpu_quota_cores": 2.0}}}) == []


def noise(size_class: str, rows: int, band: float | None, **more: Any) -> dict[str, Any]:
    row = {"device": "cpu", "route": "mojo_aot", "base": "cpp", "mode": "call", "size_class": size_class}
    return row | {"rows": rows, "dof": 20, "sd": 0.1, "band": band} | more


def test_the_page_says_what_single_rows_cannot_show() -> None:
    """The band of most rows, of the route that represents Mojo, as called."""
    rows = [
        noise("small", 10, 1.08),
        noise("middle", 30, 1.15),
        noise("large", 10, 1.30),
        noise("large", 90, 3.0, route="mojo"),
        noise("large", 90, 3.0, mode="kernel"),
        noise("small", 90, None, base="eager"),
    ]
    pack = pack_of(noise=rows)
    assert warnings(pack) == ["In single rows, differences below 15% cannot be told apart on this machine."]
    assert warnings(pack_of(noise=[noise("small", 10, 1.04)])) == []
    assert warnings(pack_of()) == []


def test_a_pack_with_a_busy_machine_says_so_first() -> None:
    pack = pack_of(noise=[noise("small", 10, 1.2)])
    pack.facts("machine")["load_others"] = 1.9
    first, second = warnings(pack)
    assert "busy machine" in first
    assert second == "In single rows, differences below 20% cannot be told apart on this machine."
