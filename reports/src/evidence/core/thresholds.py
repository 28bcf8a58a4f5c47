"""Every number that a verdict or a claim turns on, in one place."""

LARGE_ELEMENTS = 2_000_000
"""From here on a tensor is large: at 4 bytes it is beyond the last-level cache of most machines."""

SMALL_ELEMENTS = 65_536
"""Up to here a tensor is small: the call, not the kernel, is most of its time."""


def size_class(elements: int) -> str:
    """`small`, `middle` or `large`."""
    return "large" if elements >= LARGE_ELEMENTS else "small" if elements <= SMALL_ELEMENTS else "middle"


WIN_SHARE = 0.6
"""Share of the counted rows that a side must win, or that must be equal or too close to call, to name the group."""

EXCEPTION_SHARE = 0.1
"""From this share of rows won by the other side, the verdict names them as exceptions."""

MATTERS = 1.05
"""A factor below this does not decide anything, even when the interval shows it."""

SIZE_MATTERS = 1.10
"""The same for code size: two people write the same op with a tenth more or less code."""

BUILD_MATTERS = 1.10
"""The same for build stages, whose ranges come from few repeats."""

BUILD_SECONDS_MATTER = 0.05
"""And in seconds: below this nobody waits, whatever the factor."""

STARTS_MATTER = 0.25
"""Seconds by which a build stage must differ between two runs: a build with nothing changed took 0.12 s in one run and
0.21 s in another run of the same commit, most of it for starting processes."""

BYTES_MATTER = 1_000_000
"""And in bytes to install on top of PyTorch, which has hundreds of megabytes: below this nobody notices a download."""

BOILERPLATE_LINES = 50
"""The talk's figure for the boilerplate of a C++ extension."""

CLAIM_HOLDS_SHARE = 0.9
"""Share of rows on which a claim about all of them must be true to hold ..."""

CLAIM_PART_SHARE = 0.5
"""... and to hold in part."""

ROPE_LARGE_SAMPLES = ("4x2048x16x128", "8x4096x32x128")
"""The two large ones of the talk's four RoPE sizes."""

SINGLE_RUN = 1.25
"""A stage that was built once has no range: its time is taken as known to this factor, which is what two single builds
on a machine that other programs share can differ by."""

FAULTS_AHEAD = 2
"""A side's compiler is ahead when it catches this many faults more than the other's: one can be a matter of taste."""

FUSED = 0.9
"""A fused graph reaches this share of the hand-fused kernel's speed: the rest is its call, not its memory traffic."""

SINGLE_OPERATIONS = ("add", "rms_norm")
"""Ops that are one operation of MAX's own, so that there is nothing to fuse."""

MEASURED_SHARE = 0.6
"""Share of a decision's weight that must have been measured before it is decided."""

DECIDED_CRITERIA = 2
"""Criteria that must show a difference before a question is decided ..."""

DECIDED_SHARE = 0.4
"""... and the share of the question's weight that they must have together."""

BUSY_SHARE = 0.5
"""A run that starts while others use more than this share of the cores says so before anything else."""

QUIET_SHARE = 0.1
"""Waiting for a quiet machine ends when others use less than this share of the cores: a route that uses every core then
takes about so much longer than alone."""

STOLEN_SHARE = (MATTERS - 1) / 2
"""Share of the time that a hypervisor gives to others, above which it is said: half of what decides nothing."""

LEAST_OPS = 2
"""Ops that a mean over ops needs before it says anything of an op that is not among them."""

CONFIDENCE = 0.95
"""Of every interval that the analysis makes itself."""

POWER = 0.80
"""Chance with which the smallest effect that a row is said to show would have been shown."""

EQUAL_MARGINS = (0.02, 0.05, 0.10)
"""Shares within which two figures can be called equal, the smallest first."""

CALL_MATTERS = 1.25
"""The cost of two calls must differ by this: between runs on one machine the ratio of two routes' calls was seen to
move by 13 % in a tight loop and by 25 % after a gap, with nothing changed that matters."""

CALL_MOVES = 1.5
"""The factor by which a call must differ between two runs: in four standard runs on one machine, calls of the engine in
a tight loop moved by up to 1.33 relative to eager, although each run knew them to a few percent."""

CALL_MARGINS = (*EQUAL_MARGINS, CALL_MATTERS - 1)
"""Two calls are equal when they differ by less than what matters."""

MODEL_MATTERS = 1.02
"""Of a stage that could make a whole model no faster than this, no share is given: it would be that of noise."""

COST_FACTOR = 10.0
"""The talk's “up to 10x lower cost”: at one price an hour, so many times the tokens a second."""

COST_CUT = 0.70
"""The lower end of the talk's “70-85 % cost reduction”."""

COST_CUT_MOST = 0.85
"""Its upper end."""
