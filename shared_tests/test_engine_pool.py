"""Route mojo on the CPU: the engine runs large calls on PyTorch's thread pool, from any thread and until the process
ends."""

from __future__ import annotations

import threading

import pytest
import torch

from shared_tests.child import run_child
from shared_tests.routes import all_routes
from shared_tests.spec import all_specs

pytestmark = pytest.mark.skipif("mojo" not in all_routes(), reason="MAX is not installed")
THREADS = 6
CALLS = 20
LARGE = (768, 1024)


# Measures the calling thread's share of the CPU time. With two threads it runs half of the kernel. If the engine's
# thread ran the kernel, the share would be close to zero.
SHARE = """
import time, torch, mojo_ops
torch.set_num_threads({threads})
x = torch.randn(2048, 1024)
call = torch.ops.mojo_ops.gelu_tanh
with torch.no_grad():
    call(x)
    own, process = time.thread_time(), time.process_time()
    for _ in range(40):
        call(x)
    share = (time.thread_time() - own) / (time.process_time() - process)
assert {expected}, share
"""


@pytest.mark.parametrize(("threads", "expected"), [(2, "share > 0.25"), (1, "share < 0.25")])
def test_the_calling_thread_takes_part(threads: int, expected: str) -> None:
    """`torch.set_num_threads` also applies to kernels that the engine runs."""
    child = run_child(SHARE.format(threads=threads, expected=expected), 60)
    assert child.code == 0, child


@pytest.mark.parametrize("pool_threads", [1, 2, 5])
def test_large_calls_from_several_threads(pool_threads: int) -> None:
    """Uses more callers than the engine has threads, and more threads than cores."""
    add = all_routes()["mojo"].functional(all_specs()["add"])
    failures: list[str] = []
    start = threading.Barrier(THREADS)

    def call(number: int) -> None:
        try:
            torch.set_num_threads(pool_threads)
            values = torch.full(LARGE, float(number))
            start.wait(60)
            for i in range(CALLS):
                if not torch.equal(add(values, values + i), 2 * values + i):
                    raise AssertionError(f"wrong result in call {i}")
        except Exception as error:
            failures.append(f"thread {number}: {type(error).__name__}: {error}")
            start.abort()

    threads_before = torch.get_num_threads()
    try:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        torch.set_num_threads(threads_before)
    assert not failures


def test_large_and_small_calls_alternate() -> None:
    add = all_routes()["mojo"].functional(all_specs()["add"])
    for elements in (1, 1 << 20, 3, 1 << 18, (1 << 18) - 1, 1 << 17, 0, 1 << 19):
        values = torch.arange(elements, dtype=torch.float32)
        assert torch.equal(add(values, values), 2 * values)


def test_an_op_that_the_engine_does_not_start_is_an_error() -> None:
    """The call raises an error, and the next call works."""
    child = run_child(
        """
        import torch
        from mojo_ops import engine
        values = torch.ones(1 << 20)
        add = torch.ops.mojo_ops.add
        graph = engine._engine._graphs[engine._engine._positions["add"]]
        index, graph.index = graph.index, -1
        try:
            add(values, values)
        except RuntimeError as error:
            assert "add: the engine ended without starting the op" in str(error), error
        else:
            raise SystemExit("no error")
        graph.index = index
        assert bool((add(values, values) == 2).all())
        """,
        60,
    )
    assert child.code == 0, child


@pytest.mark.parametrize("last_statement", ["", "; mojo_ops.engine._engine.library.mojo_ops_stop_engine(); call()"])
def test_exit_right_after_a_large_call(last_statement: str) -> None:
    """The process may exit while the engine runs. Calls after the engine was stopped run on the engine's thread."""
    code = f"""
    import torch, mojo_ops
    values = torch.ones(1 << 20)
    def call():
        assert bool((torch.ops.mojo_ops.add(values, values) == 2).all())
    call(); call(){last_statement}
    """
    for _ in range(3):
        child = run_child(code, 60)
        assert child.code == 0, child
        assert "terminate called" not in child.output, child
