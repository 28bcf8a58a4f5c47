"""Fault corpus: where the same small mistakes are caught on each side, found by making them.

Every mistake goes up the same ladder on both sides:

1. **compile** with the flags that the side ships with. A warning is kept beside the row; it is not “caught”.
2. **load** the library into a Python process and register the op.
3. **call** it with arguments that make the mistake matter, several times, and hold each result against float64.
4. Where that ended without an error (`no effect`, `silent`, `crash`, `hang`): the builds that look for mistakes, until
   one reports: the library's assertions (C++ -D_GLIBCXX_ASSERTIONS; Mojo at the compiler's default level, which the
   shipped build switches off), then AddressSanitizer (C++ with UndefinedBehaviorSanitizer, Mojo with -D ASSERT=all);
   for races ThreadSanitizer. A sanitizer that only says which signal killed the process found nothing. On the
   Mojo side both are run with base/preload.cpp, ours, and `by` says so: left alone, AddressSanitizer sees PyTorch's
   memory and not that of a Mojo List, and ThreadSanitizer ends the process while Mojo's run-time libraries load.

`caught` is the first of compile, load and call where an error was seen. If there was none it is `sanitizer` where a
tool of step 4 reported, else what the shipped build did: `crash`, `hang`, `silent` (a wrong result), or `no effect`
(the results were right). `shipped` always says what the shipped build did. `seconds` run from the start of step 1 to
the end of the step that caught it, Python's start and `import torch` included.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from evidence.core import json_lines
from evidence.core.child import Children, Finished, Stopped, run_command
from evidence.sections.faults import messages
from evidence.sections.faults.build import (
    ADDRESS,
    ASSERTIONS,
    SHIPPED,
    THREAD,
    TOOL_SIDES,
    TOOLS,
    Builder,
    Missing,
    python,
    tools_for,
)
from evidence.sections.faults.corpus import BASES, CORRECT, CorpusError, Fault
from evidence.sections.faults.row import Caught, FaultRow
from evidence.sections.faults.row import Step as StepRow

ERRORS = ("compile", "load", "call")
UNSEEN = ("crash", "hang", "silent", "no effect")
COMPILE_SECONDS, CALL_SECONDS, MAX_SECONDS = 120.0, 30.0, 180.0
"""A process is killed after so long. MAX compiles within the call."""


@dataclass(frozen=True)
class Step:
    """One rung: its name, what was seen there, seconds, the telling line and who said it."""

    step: str
    outcome: str
    seconds: float | None = None
    message: str | None = None
    by: str | None = None

    def row(self) -> StepRow:
        """As it stands in the pack."""
        return StepRow(step=self.step, outcome=self.outcome, seconds=self.seconds, message=self.message)


OUT_OF_TIME = "the time of this stage was over"


@dataclass
class Climbed:
    """All rungs of one mistake on one side, and the compiler's warnings."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def shipped(self) -> Step:
        """What the shipped build did."""
        return next((s for s in reversed(self.steps) if s.step in ERRORS), Step("compile", "did not run"))

    @property
    def decided(self) -> Step:
        """The rung that gives the row its class; see the text at the head of this file."""
        shipped = self.shipped
        if shipped.outcome in UNSEEN:
            return next((step for step in self.steps if step.outcome == "sanitizer"), shipped)
        return shipped

    def seconds(self) -> float | None:
        """Seconds until it was caught, None where it was not."""
        if self.decided.outcome in ("silent", "no effect", "did not run"):
            return None
        upto = self.steps[: self.steps.index(self.decided) + 1]
        return sum(step.seconds or 0.0 for step in upto)


class Ladder:
    """Takes mistakes up the ladder in one temporary folder.

    Args:
        side: cpp, mojo_aot or mojo.
        children: those that end with the stage.
        log: gets the commands and what they printed.
        folder: for sources and libraries.
    """

    def __init__(self, side: str, children: Children, log: Path, folder: Path):
        self.builder = Builder(side, folder)
        self.side, self.children, self.log, self.folder = side, children, log, folder

    def climb(self, fault: Fault, tools: tuple[str, ...]) -> Climbed:
        """All rungs of one mistake; `tools` are the builds of step 4.

        Raises:
            CorpusError: an edit no longer applies.
        """
        climbed = Climbed()
        self._build(fault, SHIPPED, climbed)
        for tool in tools:
            if climbed.shipped.outcome not in UNSEEN or climbed.decided.outcome == "sanitizer":
                break
            self._build(fault, tool, climbed)
        return climbed

    def _build(self, fault: Fault, build: str, climbed: Climbed) -> None:
        """Steps 1 to 3 of one build; those of a tool come down to one step."""
        source = fault.source(self.side)
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{fault.name}-{build}-", dir=self.folder))
            steps, warnings = self._steps(fault, source, build, folder)
        except Missing as missing:
            steps, warnings = [Step("compile", "did not run", None, str(missing))], []
        except Stopped:
            steps, warnings = [Step("compile", "did not run", None, OUT_OF_TIME)], []
        if build == SHIPPED:
            climbed.steps += steps
            climbed.warnings = warnings
        else:
            seconds = sum(step.seconds or 0.0 for step in steps)
            last = steps[-1]
            climbed.steps.append(Step(TOOLS[build], last.outcome, seconds, last.message, last.by))

    def _steps(self, fault: Fault, source: str, build: str, folder: Path) -> tuple[list[Step], list[str]]:
        file, library = folder / BASES[self.side], folder / "pick.so"
        file.write_text(source, encoding="utf-8")
        environment = self.builder.environment(build)
        environment["MODULAR_CACHE_DIR"] = str(folder / "cache")  # empty, or an op that was built before takes no time
        command = self.builder.compile(file, library, build)
        if command is None:  # MAX: a package, compiled at the call
            library = folder / "pick"
            library.mkdir()
            file.rename(library / "__init__.mojo")
            return self._call(fault, library, build, environment, []), []
        done = self._run(command, folder, environment_of(environment), COMPILE_SECONDS)
        if done.code != 0:
            message = "killed at its timeout" if done.code is None else messages.compile_error(done.output)
            return [Step("compile", "compile", done.seconds, messages.clean(message), compiler(self.side))], []
        self.builder.finish(library, build)
        warnings = [messages.clean(line) for line in messages.warnings(done.output)]
        first = Step("compile", "ok", done.seconds, warnings[0] if warnings else None)
        return self._call(fault, library, build, environment, [first]), warnings

    def _call(self, fault: Fault, library: Path, build: str, env: dict[str, str], before: list[Step]) -> list[Step]:
        task = {
            "side": self.side, "library": str(library), "call": fault.call, "want": fault.want, "repeat": fault.repeat,
            "schema": fault.sides[self.side].schema,
        }  # fmt: skip
        timeout = MAX_SECONDS if self.side == "mojo" else CALL_SECONDS
        done = self._run([*python(), json.dumps(task)], library.parent, env, timeout)
        return before + called(done, build, self.side)

    def _run(self, command: list[str], cwd: Path, env: dict[str, str], timeout: float) -> Finished:
        done = run_command(command, cwd, env, timeout, children=self.children)
        with self.log.open("a") as log:
            how = f"{done.code} after {done.seconds:.1f} s"
            log.write(f"== faults: {' '.join(command)}: {how}\n{done.output[-4000:]}\n")
        return done


def environment_of(environment: dict[str, str]) -> dict[str, str]:
    """The same without libraries to preload: a compiler is not what is looked at."""
    return {key: value for key, value in environment.items() if key != "LD_PRELOAD"}


def called(done: Finished, build: str, side: str) -> list[Step]:
    """The steps load and call of a child process, from its output and its exit code."""
    lines = json_lines.read(done.output)
    loaded = next((line for line in lines if line["step"] == "load"), None)
    last = lines[-1] if lines else {}
    finished = last.get("step") == "call" or last.get("outcome") == "load"
    steps: list[Step] = []
    if loaded and loaded["outcome"] == "ok":
        steps = [Step("load", "ok", loaded["seconds"])]
    by: str | None
    where, seconds = ("call", done.seconds - loaded["seconds"]) if loaded and steps else ("load", done.seconds)
    report = messages.reported(done.output) if build != SHIPPED else None
    if report and not any(alarm in report[1] for alarm in messages.ALARM):
        return [*steps, Step(where, "sanitizer", seconds, messages.clean(report[1]), reporter(report[0], build, side))]
    if finished:
        outcome, message = last["outcome"], last["message"]
        by = speaker(message, side) if outcome in ERRORS else None
        if side == "mojo" and outcome in ERRORS and COMPILING.search(message):
            # Its compiler prints the reason. At the load it has read the package; at the call it has met the arguments.
            outcome, by = ("compile" if where == "load" else "call"), compiler(side)
            message = messages.compile_error(messages.without_child(done.output))
        return [*steps, Step(where, outcome, seconds, messages.clean(message), by)]
    if done.code is None:
        return [*steps, Step(where, "hang", seconds, f"no end within {done.seconds:.0f} s", None)]
    by = "the system" if done.code < 0 else None
    return [*steps, Step(where, "crash", seconds, messages.clean(messages.death(done.code, done.output)), by)]


def reporter(tool: str, build: str, side: str) -> str:
    """The tool that reported, with what was done that it could."""
    if side == "mojo_aot" and tool in TOOLS.values():
        return f"{tool}, with Mojo's allocator replaced"
    if side == "mojo_aot" and build == ASSERTIONS:
        return f"{tool}, on by default and off as shipped"
    return tool


def compiler(side: str) -> str:
    """Who compiles a side."""
    return {"cpp": "C++ compiler", "mojo_aot": "Mojo compiler", "mojo": "MAX graph compiler"}[side]


COMPILING = re.compile(r"\berror:|[Ff]ailed to (parse|compile)|CompilationError")
"""In the exceptions by which MAX says that its compiler refused."""


SPEAKERS = (
    ("pick: ", "the op itself"),
    ("expected scalar type", "PyTorch's typed access"),
    ("missing value for argument", "PyTorch's schema check"),
    ("Could not run", "PyTorch's dispatcher"),
    ("has no faults_pick", "the loader of mojo_ops"),
)


def speaker(message: str, side: str) -> str:
    """Who refused, from the words of the exception."""
    if side == "mojo":
        return "MAX"
    return next((who for words_, who in SPEAKERS if words_ in message), "PyTorch")


def row(fault: Fault, side: str, climbed: Climbed) -> FaultRow:
    """A row of the section `faults`."""
    decided = climbed.decided
    return FaultRow(
        **about(fault, side),
        caught=cast(Caught, decided.outcome),
        by=decided.by,
        message=decided.message,
        seconds=climbed.seconds(),
        shipped=cast(Caught, climbed.shipped.outcome),
        warning=climbed.warnings[0] if climbed.warnings else None,
        steps=tuple(step.row() for step in climbed.steps),
    )


def absent(fault: Fault, side: str, reason: str) -> FaultRow:
    """The row of a mistake that was not tried."""
    return FaultRow(**about(fault, side), caught="did not run", message=reason, seconds=None, shipped="did not run")


def about(fault: Fault, side: str) -> dict[str, Any]:
    """What a row says of its mistake, whatever came of it."""
    try:
        diff = fault.diff(side)
    except CorpusError:
        diff = None
    return {
        "fault": fault.name, "side": side, "title": fault.title, "kind": fault.kind, "mistake": fault.mistake,
        "call": fault.call, "source": f"reports/faults/{fault.name}.toml", "diff": diff,
    }  # fmt: skip


def try_fault(ladder: Ladder, fault: Fault, with_tools: bool) -> FaultRow:
    """The row of one mistake; a fault file that no longer fits its base is a row that says so."""
    try:
        climbed = ladder.climb(fault, tools_for(ladder.side, fault.kind) if with_tools else ())
    except CorpusError as error:
        return absent(fault, ladder.side, str(error))
    return row(fault, ladder.side, climbed)


def self_check(ladder: Ladder, with_tools: bool) -> str | None:
    """Why the ladder cannot be believed on this side, or None: the correct op must pass every build unreported."""
    # On both threads, and with every check at once: the assertions are on where AddressSanitizer is.
    climbed = ladder.climb(CORRECT, (ADDRESS, THREAD) if with_tools and ladder.side in TOOL_SIDES else ())
    bad = [step for step in climbed.steps if step.outcome not in ("ok", "no effect", "did not run")]
    if climbed.decided.outcome != "no effect" or climbed.warnings or bad:
        step = (bad or [climbed.decided])[0]
        return f"the correct op on side {ladder.side}: {step.step}: {step.outcome}: {step.message}"
    return None
