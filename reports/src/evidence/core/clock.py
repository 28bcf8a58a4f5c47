"""Is the clock fit to time with? Asked by every measuring process before its first case."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]

COARSEST_NS = 4_000  # half a percent of a visit (`sampling.VISIT_NS`)
RATE_ERROR = 0.005  # NTP slews a clock by 0.05 % at most
WAIT_S = 0.05
READS = 4_000
PAIRS = 20  # another program may run between the readings of two clocks; the pair read fastest has seen none


class ClockError(RuntimeError):
    """The clock cannot be trusted; the message says what it did."""


def _raw() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def other_clock() -> Clock:
    """A clock that NTP does not steer, where the system has one, else the wall clock."""
    return _raw if hasattr(time, "CLOCK_MONOTONIC_RAW") else time.time_ns


def check(clock: Clock = time.perf_counter_ns, other: Clock | None = None, busy: Clock = time.process_time_ns) -> None:
    """Hold `clock` to two others; 60 ms.

    Args:
        clock: nanoseconds; the one that times everything.
        other: nanoseconds of a clock that runs on its own.
        busy: nanoseconds of processor time of this process.

    Raises:
        ClockError: it stands still, runs backward, is too coarse, runs at another rate than `other`, or sees less time
            than this thread was busy.
    """
    other = other or other_clock()
    _check_steps(clock, other)
    _check_rate(clock, other)
    _check_busy(clock, other, busy)


def _check_steps(clock: Clock, other: Clock) -> None:
    steps: list[int] = []
    last, begin = clock(), other()
    while len(steps) < READS and other() - begin < WAIT_S * 1e9:
        now = clock()
        if now < last:
            raise ClockError(f"the clock ran backward by {last - now} ns")
        if now > last:
            steps.append(now - last)
        last = now
    if not steps:
        raise ClockError(f"the clock stood still for {WAIT_S * 1e3:.0f} ms of another clock")
    step = sorted(steps)[len(steps) // 2]
    if step > COARSEST_NS:
        raise ClockError(f"the clock moves in steps of {step} ns, expected at most {COARSEST_NS} ns")


def _pair(clock: Clock, other: Clock) -> tuple[int, int]:
    """Read both clocks at one moment: `other` before and after `clock`, keeping the closest of `PAIRS` readings."""
    readings = [(other(), clock(), other()) for _ in range(PAIRS)]
    before, now, after = min(readings, key=lambda reading: reading[2] - reading[0])
    return now, (before + after) // 2


def _check_rate(clock: Clock, other: Clock) -> None:
    begin, other_begin = _pair(clock, other)
    time.sleep(WAIT_S / 3)
    end, other_end = _pair(clock, other)
    rate = (end - begin) / max(other_end - other_begin, 1)
    if abs(rate - 1) > RATE_ERROR:
        raise ClockError(f"the clock runs at {rate:.3f} of the rate of another one, expected 1 within {RATE_ERROR:.1%}")


def _check_busy(clock: Clock, other: Clock, busy: Clock) -> None:
    """One thread cannot be busy for longer than the time that passed; process time moves in steps of up to 10 ms."""
    begin, busy_begin, end = clock(), busy(), other() + 5_000_000
    while other() < end:
        pass
    spent, worked = clock() - begin, busy() - busy_begin
    if worked > 2 * spent + 10_000_000:
        raise ClockError(f"the clock saw {spent / 1e6:.1f} ms in which this thread worked for {worked / 1e6:.1f} ms")
