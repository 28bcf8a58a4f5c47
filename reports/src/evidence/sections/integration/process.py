"""Probes of the integration table about threads and processes."""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import Any

import torch

from evidence.sections.integration.outcome import NotApplicable, NotRun, Subject, Wrong, probe
from shared_tests.tensors import PARALLEL

THREADS, CALLS = 8, 50
FORK_SECONDS = 3.0


@probe("threads", "8 threads")
def threads(subject: Subject) -> str | None:
    """Calls from eight Python threads at once, each on tensors of its own."""
    call, spec = subject.function, subject.spec
    call(*subject.args())
    errors: list[str] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        try:
            args = tuple(a + number if isinstance(a, torch.Tensor) else a for a in subject.args())
            want = spec.results(call(*args))
            subject.hold(args, tuple(want))
            start.wait(20)
            for _ in range(CALLS):
                if not all(torch.equal(g, w) for g, w in zip(spec.results(call(*args)), want, strict=True)):
                    raise Wrong("wrong result")
        except Exception as error:
            errors.append(f"thread {number}: {type(error).__name__}: {error}")
            start.abort()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    if errors:
        raise Wrong(errors[0])
    return None


@probe("fork", "small call")
def fork_small(subject: Subject) -> str | None:
    """os.fork after the op was used; the child calls it again."""
    return _in_forked_child(subject, subject.args())


@probe("fork", "call split over threads")
def fork_large(subject: Subject) -> str | None:
    """The same with tensors so large that the work is split over a thread pool, in parent and child."""
    if subject.route.jit:
        raise NotApplicable("held to one small size, since it compiles for every shape")
    if subject.spec.name != "add":
        raise NotRun("written for add")
    return _in_forked_child(subject, (torch.ones(PARALLEL), torch.ones(PARALLEL)))


def _in_forked_child(subject: Subject, args: tuple[Any, ...]) -> str | None:
    if not hasattr(os, "fork"):
        raise NotApplicable("this system has no fork")
    if subject.device != "cpu":
        raise NotApplicable("CUDA cannot be used in a forked child, whatever the route")
    call = subject.function
    want = subject.spec.results(call(*args))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            same = all(torch.equal(g, w) for g, w in zip(subject.spec.results(call(*args)), want, strict=True))
            word = "=" if same else "≠"
        except BaseException as error:
            word = f"!{error}"
        os.write(writer, word.encode()[:4000])
        os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], FORK_SECONDS)
        answer = os.read(reader, 4096).decode() if ready else None
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if answer is None:
        raise Wrong(f"the child hangs (nothing within {FORK_SECONDS:.0f} s)")
    if answer == "":
        raise Wrong(f"the child died (wait status {status})")
    if answer == "≠":
        raise Wrong("wrong result in the child")
    if answer.startswith("!"):
        raise RuntimeError(answer[1:])
    return "the child works"
