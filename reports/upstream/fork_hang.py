"""After a fork, the child hangs in its first MAX call.

What: a graph that adds two vectors is executed, the process forks, the child executes it again; 10 s are waited.
Expected: an error that says that the engine was loaded before the fork (as CUDA in PyTorch), or a working child.
Seen: the child waits for ever for worker threads that the fork did not copy.
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
            said = "the child works"
        except BaseException as error:
            said = f"the child raises {type(error).__name__}: {error}"
        os.write(writer, said.encode())
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
