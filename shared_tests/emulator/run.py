"""Emulates the ops of both sides: values against the spec, problems, counters, and launches on every target."""

from __future__ import annotations

import functools
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from typing import Any, Protocol

import torch

from shared_tests import accuracy
from shared_tests.emulator.cases import ROWS_PREFIX, Case, cases
from shared_tests.emulator.counters import Counters
from shared_tests.emulator.devices import DEVICES, EMULATED
from shared_tests.emulator.launches import Dimensions, Launched, LaunchError
from shared_tests.emulator.resources import occupancy, resources
from shared_tests.emulator.toolkit import ToolkitError
from shared_tests.emulator.values import UNDEFINED
from shared_tests.emulator.workers import Died, work_through
from shared_tests.spec import OpSpec, all_specs

SIDES = ("cpp", "mojo")
NO_CASE = "all cases"  # in the place of a case where none could be run
PROCESSES = 2
CASE_SECONDS = 120  # a case takes seconds; one that takes this long waits for something that does not come


class Host(Protocol):
    """How an op of one side is called on an emulated GPU: `CudaHost`, `MojoHost`, `MojoHostApart`."""

    def call(
        self, spec: OpSpec, args: Sequence[Any], outputs: Sequence[torch.Tensor], **options: Any
    ) -> tuple[Launched, ...]:
        """Fill the outputs; see `CudaHost.call`."""


@dataclass(frozen=True)
class Need:
    """What one launch takes on one target.

    registers, spill_stores, spill_loads: of a thread; the spills in bytes.
    static_shared, dynamic_shared: bytes of a block.
    occupancy: resident warps as a share of those that a multiprocessor can hold, 0 to 1.
    """

    kernel: str
    blocks: int
    threads: int
    registers: int
    spill_stores: int
    spill_loads: int
    static_shared: int
    dynamic_shared: int
    occupancy: float


@dataclass(frozen=True)
class LaunchResult:
    """One emulated kernel launch and what it asked of memory."""

    kernel: str
    grid: Dimensions
    block: Dimensions
    dynamic_shared: int
    counters: Counters
    seconds: float


@dataclass(frozen=True)
class CaseResult:
    """One emulated call.

    dtype: its name in PyTorch.
    elements: of the call's largest tensor, which instructions are counted by.
    least_bytes: what the op must read and write, each byte once, by its spec.
    wrong: what is wrong with the values, None where they are right.
    problems: what the emulator, or a GPU of one of the targets, reports of the call.
    launches: in order; without those that failed.
    needs: by target what each launch takes there, where the kernels are compiled for it.
    """

    op: str
    side: str
    dtype: str
    case: str
    elements: int
    least_bytes: int
    wrong: str | None
    problems: tuple[str, ...]
    launches: tuple[LaunchResult, ...]
    needs: dict[str, tuple[Need, ...]]

    @property
    def whole_rows(self) -> bool:
        """Whether the case is one of the rows of whole vectors."""
        return self.case.startswith(ROWS_PREFIX)

    @property
    def ran(self) -> bool:
        """Whether a call was made: False where the reason why not is the only problem."""
        return self.case != NO_CASE

    @property
    def passed(self) -> bool:
        """Right values and no problem."""
        return self.wrong is None and not self.problems


@dataclass(frozen=True)
class Settings:
    """How cases are chosen and run.

    all_samples: larger samples and more row lengths.
    noise: the relative error put on approximate instructions, in units of 2^-23.
    targets: those whose launch limits are checked; the emulated one always is.
    """

    all_samples: bool = False
    noise: float = 0.0
    targets: tuple[str, ...] = (EMULATED,)


@functools.cache
def host(side: str, target: str = EMULATED) -> Host:
    """The host of one side, made once a process."""
    if side == "cpp":
        from shared_tests.emulator.cuda_host import CudaHost

        return CudaHost(target)
    from shared_tests.emulator.apart import MojoHostApart
    from shared_tests.emulator.mojo_host import MojoHost

    # The command's own processes call the driver themselves; a test process may have used MAX.
    return MojoHost(target) if parent_process() else MojoHostApart(target)


@dataclass(frozen=True)
class Unit:
    """What one process does at once: every case of one op of one side in one dtype."""

    side: str
    op: str
    dtype: str
    settings: Settings

    def failed(self, reason: str) -> list[CaseResult]:
        """The result where no case could be run."""
        return [CaseResult(self.op, self.side, self.dtype, NO_CASE, 0, 0, None, (reason,), (), {})]


def emulate(
    ops: Sequence[str], sides: Sequence[str], dtypes: Sequence[str], settings: Settings
) -> Iterator[tuple[int, int, list[CaseResult]]]:
    """Emulate ops in a few processes.

    Args:
        dtypes: names; an op runs in those of them that it has.

    Yields:
        How many units are done, of how many, and the results of the last one.
    """
    specs = all_specs()
    units = [
        Unit(side, op, dtype, settings)
        for op in ops
        for side in sides
        for dtype in (str(d).removeprefix("torch.") for d in specs[op].dtypes)
        if dtype in dtypes
    ]
    for count, result in enumerate(work_through(units, run_unit, PROCESSES), 1):
        if isinstance(result, Died):
            reason = f"the process died with exit code {result.exit_code}"
            yield count, len(units), result.unit.failed(reason)
        else:
            yield count, len(units), result


def run_unit(unit: Unit) -> list[CaseResult]:
    """In a process of its own: the cases of a unit, or the reason why they could not be run."""
    torch.set_num_threads(1)
    try:
        spec = all_specs()[unit.op]
        unit_cases = cases(spec, getattr(torch, unit.dtype), unit.side, unit.settings.all_samples)
        return [guarded_case(unit, spec, case) for case in unit_cases]
    except ToolkitError as error:
        return unit.failed(f"does not compile: {error}")
    except Exception as error:
        return unit.failed(f"the emulator failed: {type(error).__name__}: {error}")


def guarded_case(unit: Unit, spec: OpSpec, case: Case) -> CaseResult:
    """Emulate one call; an error of the emulator's own is a problem of this call, and the others go on."""
    try:
        return run_case(unit.side, spec, unit.dtype, case, unit.settings)
    except ToolkitError:
        raise
    except Exception as error:
        reason = f"the emulator failed: {type(error).__name__}: {error}"
        return CaseResult(unit.op, unit.side, unit.dtype, case.id, 0, 0, None, (reason,), (), {})


def run_case(
    side: str, spec: OpSpec, dtype: str, case: Case, settings: Settings, hosts: Callable[[str], Host] | None = None
) -> CaseResult:
    """Emulate one call, and say what is wrong with its values and its launches.

    Args:
        dtype: its name in PyTorch.
        hosts: the host for each target, where it is not that of the project's own sources.
    """
    host_for = hosts or functools.partial(host, side)
    reference = accuracy.expected(spec, case.args)
    outputs = [] if spec.mutates else [undefined(result) for result in reference.eager]
    needs, problems = launches_by_target(host_for, spec, case.args, outputs, settings.targets)
    message = None
    launches: tuple[Launched, ...] = ()
    try:
        with time_limit(CASE_SECONDS):
            launches = host_for(EMULATED).call(spec, case.args, outputs, noise=settings.noise)
        results = [case.args[i] for i in spec.mutates] if spec.mutates else outputs
        message = accuracy.mismatch(spec, reference, results)
    except LaunchError as error:
        launches = error.launches
        problems.insert(0, error_text(error))
    needs[EMULATED] = tuple(need(launch, EMULATED) for launch in launches)
    return CaseResult(
        op=spec.name,
        side=side,
        dtype=dtype,
        case=case.id,
        elements=max((a.numel() for a in case.args if isinstance(a, torch.Tensor)), default=0),
        least_bytes=spec.cost(*case.args).bytes,
        wrong=message,
        problems=(*problem_lines(launches), *problems),
        launches=tuple(map(launch_result, launches)),
        needs={target: needs[target] for target in DEVICES if target in needs},
    )


def undefined(like: torch.Tensor) -> torch.Tensor:
    """A contiguous tensor of this shape and dtype whose bytes are no result."""
    output = torch.empty(like.shape, dtype=like.dtype)
    output.view(-1).view(torch.uint8).fill_(UNDEFINED)
    return output


def launches_by_target(
    hosts: Callable[[str], Host],
    spec: OpSpec,
    args: Sequence[Any],
    outputs: Sequence[torch.Tensor],
    targets: Sequence[str],
) -> tuple[dict[str, tuple[Need, ...]], list[str]]:
    """The call's launches on every target but the emulated one, and those that a GPU would refuse.

    Launch code looks at the device, so it runs once for each; its kernels do not.
    """
    needs, problems = {}, []
    for target in targets:
        if target == EMULATED:
            continue
        try:
            launches = hosts(target).call(spec, args, outputs, run=False)
        except LaunchError as error:
            launches = error.launches
            problems.append(f"{target}: {error_text(error)}")
        needs[target] = tuple(need(launch, target) for launch in launches)
    return needs, problems


def error_text(error: LaunchError) -> str:
    """A launch error and, where it is known, its reason."""
    return f"{error} ({error.reason})" if error.reason else str(error)


def problem_lines(launches: Sequence[Launched]) -> Iterator[str]:
    """The problems that the emulator saw."""
    for launch in launches:
        for problem in launch.report.problems if launch.report else ():
            times = f" ({problem.count} times)" if problem.count > 1 else ""
            yield f"{launch.kernel}: {problem.message}{times}"


def launch_result(launch: Launched) -> LaunchResult:
    """A launch without what is of no use to a reader: the PTX and the lines that were executed."""
    counters = replace(launch.report.counters, executed=None) if launch.report else Counters()
    return LaunchResult(launch.kernel, launch.grid, launch.block, launch.dynamic_shared, counters, launch.seconds)


def need(launch: Launched, target: str) -> Need:
    """What a launch takes on a target that its PTX is for."""
    kernel = resources(launch.ptx, target)[launch.kernel]
    return Need(
        kernel=launch.kernel,
        blocks=math.prod(launch.grid),
        threads=launch.threads,
        registers=kernel.registers,
        spill_stores=kernel.spill_stores,
        spill_loads=kernel.spill_loads,
        static_shared=kernel.static_shared,
        dynamic_shared=launch.dynamic_shared,
        occupancy=occupancy(kernel, launch, DEVICES[target]),
    )


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the main thread once the time has passed."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"the call did not end within {seconds} s")

    previous_handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous_handler)
