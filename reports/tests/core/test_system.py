"""The record of the machine, from trees of files as Linux shows them; what a tree lacks is None."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from evidence.core import toolchain
from evidence.core.child import TELEMETRY, run_command
from evidence.core.counters import Counters
from evidence.core.system import NO_LIMIT, System, describe, numbers, quota, threads_of_one_core

CPU = "sys/devices/system/cpu"


def tree(root: Path, files: dict[str, str]) -> System:
    """A machine of two usable cores whose files are these."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return System((0, 1), root)


INTEL = {
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "proc/sys/kernel/randomize_va_space": "0",
    "sys/devices/system/node/online": "0-1",
    "sys/devices/system/node/node0/cpulist": "0",
    "sys/devices/system/node/node1/cpulist": "1",
    f"{CPU}/intel_pstate/no_turbo": "1",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance",
    f"{CPU}/smt/active": "1",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0-1",
    f"{CPU}/cpu1/topology/thread_siblings_list": "0-1",
    f"{CPU}/cpu0/cache/index0/level": "1",
    f"{CPU}/cpu0/cache/index0/type": "Data",
    f"{CPU}/cpu0/cache/index0/size": "32K",
    f"{CPU}/cpu0/cache/index0/shared_cpu_list": "0-1",
    "proc/cpuinfo": "processor\t: 0\nmicrocode\t: 0x2b000590\n",
}


def test_every_fact_is_read_from_its_file(tmp_path: Path) -> None:
    facts = describe(tree(tmp_path, INTEL))
    assert facts["memory"] == {
        "transparent_huge_pages": "madvise",
        "address_space_randomisation": "off",
        "numa_nodes": ["0: cores 0", "1: cores 1"],
    }
    assert facts["clock"]["turbo"] is False
    assert facts["clock"]["governor"] == "performance, powersave"
    assert facts["cores"]["simultaneous_multithreading"] is True
    assert facts["cores"]["threads_of_one_core"] == ["0-1"]
    assert facts["cores"]["microcode"] == "0x2b000590"
    assert facts["cores"]["caches"] == ["L1 Data 32K of 0-1"]


def test_what_a_system_does_not_say_is_none(tmp_path: Path) -> None:
    facts = describe(System((), tmp_path))
    assert {value for block in facts.values() for value in block.values()} == {None}
    assert set(Counters.now(System((), tmp_path)).since(Counters.now(System((), tmp_path))).values()) == {None}


def test_boost_of_amd_is_not_inverted(tmp_path: Path) -> None:
    assert describe(tree(tmp_path, {f"{CPU}/cpufreq/boost": "1"}))["clock"]["turbo"] is True


def test_threads_of_cores_that_the_run_may_not_use_do_not_count(tmp_path: Path) -> None:
    files = {f"{CPU}/cpu{core}/topology/core_cpus_list": f"{core},{core + 2}" for core in (0, 1)}
    assert threads_of_one_core(tree(tmp_path, files)) == []


def test_numbers_of_a_list() -> None:
    assert numbers("0-2,8") == [0, 1, 2, 8]
    assert numbers("3") == [3]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, NO_LIMIT),
        (  # the tightest of a group and those around it
            {
                "proc/self/cgroup": "0::/pod/run",
                "sys/fs/cgroup/pod/run/cpu.max": "max 100000",
                "sys/fs/cgroup/pod/cpu.max": "50000 100000",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n1:name=systemd:/",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            NO_LIMIT,
        ),
        ({"proc/self/cgroup": "0::/"}, None),
    ],
)
def test_quota_of_control_groups(files: dict[str, str], cores: float | str | None, tmp_path: Path) -> None:
    assert quota(tree(tmp_path, files)) == cores


def test_counters_are_those_of_the_run(tmp_path: Path) -> None:
    """80 of 1000 ticks were stolen; quota and heat stopped it twice each."""

    def now(stat: str, stops: int, microseconds: int, hot: int) -> Counters:
        files = {
            "proc/stat": f"cpu  {stat} 0 0\ncpu0 1 2 3",
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/cpu.stat": f"usage_usec 9\nnr_throttled {stops}\nthrottled_usec {microseconds}",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": str(hot),
        }
        return Counters.now(tree(tmp_path, files))

    before = now("100 0 100 800 0 0 0 20", 3, 1_000_000, 5)
    after = now("500 0 200 1220 0 0 0 100", 5, 3_500_000, 7)
    assert after.since(before) == {
        "stolen_share": 0.08,
        "stops_by_quota": 2,
        "seconds_stopped_by_quota": 2.5,
        "times_slowed_by_heat": 2,
    }


def test_allocator_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/maps").write_text("7f00-7f01 r-xp /opt/lib/libjemalloc.so.2\n7f02-7f03 r 0 [heap]\n")
    environment = {"LD_PRELOAD": "/opt/lib/libjemalloc.so.2", "MALLOC_ARENA_MAX": "1", "HOME": "/root"}
    facts = toolchain.allocator(environment, tmp_path)
    assert facts["preloaded"] == ["libjemalloc.so.2"]
    assert facts["other_allocators"] == ["jemalloc"]
    assert facts["settings"] == {"MALLOC_ARENA_MAX": "1"}
    assert toolchain.allocator({}, tmp_path / "none")["other_allocators"] is None


def test_overrides_of_eager_ops_are_those_that_are_active(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("registry_of_overrides")
    off, on = SimpleNamespace(active=False), SimpleNamespace(active=True)
    module._graphs = {("topk", "CUDA"): [off, on], ("bmm", "CPU"): [off]}  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    assert toolchain.eager_overrides(module.__name__)["overridden_eager_ops"] == ["topk on CUDA"]
    del module._graphs  # type: ignore[attr-defined]
    assert toolchain.eager_overrides(module.__name__)["overridden_eager_ops"] is None
    absent = toolchain.eager_overrides("no_such_module_of_torch")
    assert absent == {"overridden_eager_ops": None, "source": "this PyTorch has no no_such_module_of_torch"}


@pytest.mark.parametrize("environment", [None, {TELEMETRY: "true", "PATH": "/usr/bin:/bin"}])
def test_telemetry_is_off_in_every_child(environment: dict[str, str] | None) -> None:
    done = run_command(["/bin/sh", "-c", f"echo ${TELEMETRY}"], Path.cwd(), environment)
    assert done.output.strip() == "false"
    assert toolchain.telemetry_of_children() == f"{TELEMETRY}=false"
