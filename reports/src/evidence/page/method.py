"""“How was this measured”, figure by figure, with the numbers of this run."""

from __future__ import annotations

from evidence.core import text
from evidence.core.pack import Pack
from evidence.core.thresholds import MATTERS


def methods(pack: Pack) -> dict[str, str]:
    """Figure -> method: what was timed, in how many processes and rounds, and what the interval is."""
    settings = pack.facts("settings")
    processes = settings.get("processes")
    asked = f"{text.count(processes, 'process', 'processes')} asked for" if isinstance(processes, int) else ""
    timed = pack.rows("runtime")
    pairs = _range([row["pairs"] for row in timed if row.get("pairs")])
    seen = _range([row["processes"] for row in timed if row.get("processes")])
    run = "; ".join(part for part in (
        f"{pairs} rounds a row" if pairs else "",
        f"{seen} fresh processes a row" if seen else asked,
    ) if part)  # fmt: skip
    run = f" In this run: {run}." if run else ""
    if settings.get("device") == "cuda":
        run = (
            " On the GPU “kernel alone” is the device's own time between two events, each call after a write that "
            "empties the second-level cache; “as called” is wall time until the device is done. No clock was set; "
            f"those of the cards before and after stand in the settings.{run}"
        )
    if any("in turn" in row["sample"] for row in timed):
        run = (
            " Calls follow each other on the same arguments, which a cache may hold; samples “in turn” take the next "
            f"of equal sets, together beyond every cache, as layers of a model find their weights while decoding.{run}"
        )
    repeats = _range([row["repeats"] for row in pack.rows("build") if row["repeats"]])
    return {
        "runtime": "All routes of a case are visited forward and backward in every round (A B B A) of one process; a "
        "ratio is taken within a round, and its median is shown with a 95 % interval (over the rounds, and "
        "over the spread between processes). “As called” is the call from Python with a fresh output; “kernel alone” "
        "writes into ready outputs. Routes that were not paired have a ratio from two time intervals, which is wider. "
        "The shaded band is what the spread between processes alone can produce. A filled mark lies outside it with "
        f"an interval that excludes 1.0, a hollow one does not; below {MATTERS - 1:.0%} nothing is won. A pale mark "
        f"with ~ is noisy and enters no mean.{run}",
        "ladder": "Each op on a ladder of sizes from 16 elements on, as called, routes interleaved as above, in fresh "
        "processes; a point is the median. A route keeps up from the size on from which its ratio reaches the mark at "
        "every larger size, interpolated in the logarithm of the size: at the earliest by the upper ends of the "
        "intervals, shown by the lower ones. Benchmark samples are the run-time rows, as called.",
        "dispatch": "Calls of 16 elements, so that the work is nothing and the call is all. “Tight loop”: call after "
        "call. “1 ms apart”: other work before each call, not timed. “In a compiled function”: inside torch.compile. "
        "With several threads: wall time over the calls of all threads. The bar is the 95 % interval of the median.",
        "waterfall": "Each part is measured apart, in the same processes as the whole call, mostly as the difference "
        "of two calls that differ in that part alone; “not explained” is what the parts leave. A part below zero was "
        "dearer alone than within the call: it has no bar, and stands in the table. How each part was measured "
        "stands beside it there.",
        "build": "Each stage in a clean copy of the sources with emptied caches and no ccache; the mark is the median"
        + (f" of {repeats} repeats" if repeats else "")
        + ", the bar the whole range. An edit changes one line of a kernel and ends with the first correct result.",
        "code": str(settings.get("code_rule") or "")
        or "Code lines by pygount, without comments and blanks. A file that several ops need counts once, as shared.",
        "faults": "Each mistake is one edit of the same small op, correct on both sides, built as the packages here "
        "are and called in a process of its own with a timeout; the cell says where it was noticed first, and by whom. "
        "What passes in silence or crashes is built again with library assertions and sanitizers (“by a sanitizer "
        "only”). A warning is printed, and does not count as caught. Seconds until then were taken with two mistakes "
        "at once. reports/faults/README.md says what was not tried.",
        "footprint": "Bytes and files from the records of the installed packages and of the system's package manager; "
        "the built library itself is the artifact. torch is needed by both sides.",
        "upgrade": "The artifact of this run under another version: loaded for real where that version could be had, "
        "else judged by the symbols that it leaves undefined, and how many of them are promised to stay. “alone”: with "
        "PyTorch's own packages, nothing else, and no program on PATH.",
        "gpu": "Both compilers emit PTX, and the emulator of shared_tests executes it on the CPU: the launch code of "
        "each side runs unmodified, every memory access is checked for bounds, alignment, races and initialisation, "
        "results are held to the tolerance of the op's spec, and a launch that needs more registers, threads or shared "
        "memory than one of the targets has is a problem. Counted are memory sectors of 32 bytes (relative to the "
        "fewest that hold the bytes requested; what is read twice counts twice, and the sectors of the op's data, read "
        "and written once, stand beside them), wavefronts of shared memory (relative to an access "
        "without bank conflicts) and warp instructions. Registers, spills and occupancy are those of ptxas. Emulation "
        "shows no time, no machine code (ptxas reorders and merges instructions), no AMD GPU, no TMA or wgmma, and no "
        "weak memory ordering; products of a vendor's library are PyTorch's.",
        "targets": "C++: one compiler run an op, into an object file; for AMD the CUDA sources in the translation that "
        "PyTorch's own build makes. Mojo: all ops in one run, by MAX into one MEF for a virtual device, and by `mojo "
        "build` into an object for a CPU or the assembly of every kernel for an accelerator; where that fails, op by "
        "op. A row is “builds” when the artifact says itself for which processor it is. “No tool chain”: the compiler "
        "here makes no code for the target, of no source. Own lines: code lines that the op's sources, with what they "
        "include, have for this processor alone, by the conditions around them.",
        "models": "Models of transformers with seeded random weights in the sizes of real ones, or the reader's own. "
        "One process holds a model and puts every stage of every route in and out of it, so that all are timed in the "
        "same rounds (A B B A); a ratio is taken within a round. Decode: single steps from a cache of 128 tokens; "
        "prefill: one pass. The PyTorch baseline with the same rewrite: transformers' own formulas in the same "
        "places, which shows what the rewrite alone is worth. The upper limit: ops that return at once, so the most "
        "that faster ops could give (Amdahl); with the weights read, it adds their bytes at the read bandwidth "
        "measured. A share of what could be saved is given only where a stage is shown to be faster. Greedy tokens: 5 "
        "prompts, 64 new tokens. "
        "Logits are checked against float64: twice the original's error and one rounding step are allowed.",
        "integration": "Each route called with each feature on one op, in a process of its own.",
        "threads": "Each setting in processes of its own; the factor is taken against the default's processes, so its "
        "interval is that of two time intervals.",
        "losses": "A loss of a run-time row needs an interval that excludes 1.0 on the worse side; the mark is the "
        "geometric mean of the rows lost and the bar their range.",
        "decisions": "Each criterion is a factor from this pack's rows (above 1 favours Mojo); the verdict weighs "
        "their logarithms with the weights of reports/weights.toml, which you can edit. A side that does not meet a "
        "requirement of the question cannot be favoured. The table shows which verdicts flip when a weight doubles.",
    }


def _range(numbers: list[int]) -> str:
    values = sorted(set(numbers))
    if not values:
        return ""
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
