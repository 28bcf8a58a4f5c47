"""A few processes that work through a list, and survive that one of them dies of a unit."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died(Generic[Unit]):
    """The process ended while it worked on a unit; a negative exit code is the number of a signal."""

    unit: Unit
    exit_code: int | None


def serve(connection: Connection, work: Callable[[Unit], Result]) -> None:
    """In the child: take units and send results until the parent sends None."""
    while (unit := connection.recv()) is not None:
        connection.send(work(unit))


def work_through(
    units: Sequence[Unit], work: Callable[[Unit], Result], processes: int
) -> Iterator[Result | Died[Unit]]:
    """The results in the order in which they are ready.

    Args:
        work: a function of a module; it runs in fresh processes, which import that module.
        processes: how many run at once.
    """
    context = multiprocessing.get_context("spawn")
    pending = list(reversed(units))
    workers: dict[Connection, tuple[BaseProcess, Unit]] = {}

    def start() -> None:
        parent_end, child_end = context.Pipe()
        process = context.Process(target=serve, args=(child_end, work), daemon=True)
        process.start()
        child_end.close()
        give(parent_end, process)

    def give(connection: Connection, process: BaseProcess) -> None:
        if pending:
            workers[connection] = process, pending.pop()
            connection.send(workers[connection][1])
        else:
            connection.send(None)
            process.join()

    try:
        for _ in range(min(processes, len(units))):
            start()
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                process, unit = workers.pop(connection)
                try:
                    result = connection.recv()
                except EOFError:
                    process.join()
                    yield Died(unit, process.exitcode)
                    if pending:
                        start()
                    continue
                give(connection, process)
                yield result
    finally:
        for process, _ in workers.values():
            process.terminate()
