"""After a fork, the child hangs in its first MAX call.

What: a process executes a graph that adds two vectors and forks; the child executes it again, with a limit of 10 s.
Expected: the child works, or gets an error that the engine was loaded before the fork, as with CUDA in PyTorch.
Seen: the child waits forever for worker threads that the fork did not copy.
Whose: Modular. Takes about 30 s.
"""

import os
import platform
import select
import signal
import sys
from importlib.metadata import version

import numpy as np
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType, ops

WAIT = 10


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}")
    kind = TensorType(DType.float32, ["n"], DeviceRef.CPU())
    with Graph("add", input_types=[kind, kind]) as graph:
        a, b = graph.inputs
        graph.output(ops.add(a.tensor, b.tensor))
    model = InferenceSession(devices=[CPU()]).load(graph)
    ones = Buffer.from_numpy(np.ones(16, np.float32))
    model.execute(ones, ones)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            model.execute(ones, ones)
            message = "the child works"
        except BaseException as error:
            message = f"the child raises {type(error).__name__}: {error}"
        os.write(writer, message.encode())
        os._exit(0)
    ready, _, _ = select.select([reader], [], [], WAIT)
    print(os.read(reader, 4096).decode() if ready else f"the child hangs: nothing within {WAIT} s")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 0 if not ready else 3


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the engine sometimes aborts at exit, see exit_abort.py
