"""A process that used MAX sometimes aborts at its end: «terminate called without an active exception».

What: processes that compile a graph of one op, execute it and return from the main module, one after the other.
Expected: exit status 0.
Seen: now and then SIGABRT after the last Python statement; the words are those of a joinable std::thread that is
destroyed. How often depends on the machine's load. See also daemon_thread_exit.py.
Whose: Modular. `python exit_abort.py 20` makes twenty processes (default 5), about 5 s each.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version

CHILD = """
import numpy as np
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType, ops
kind = TensorType(DType.float32, ["n"], DeviceRef.CPU())
with Graph("add", input_types=[kind, kind]) as graph:
    a, b = graph.inputs
    graph.output(ops.add(a.tensor, b.tensor))
session = InferenceSession(devices=[CPU()])
model = session.load(graph)
ones = Buffer.from_numpy(np.ones(16, np.float32))
model.execute(ones, ones)
"""


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}")
    count, aborted, said = int(sys.argv[1]) if len(sys.argv) > 1 else 5, 0, ""
    for number in range(count):
        # An empty cache: the process has then really compiled, which is when the abort was seen.
        with tempfile.TemporaryDirectory() as cache:
            env = {**os.environ, "MODULAR_CACHE_DIR": cache}
            run = subprocess.run([sys.executable, "-c", CHILD], env=env, capture_output=True, text=True)
        if run.returncode == -signal.SIGABRT:
            aborted += 1
            said = next((line for line in run.stderr.splitlines() if line.strip()), "")
        elif run.returncode:
            print(f"process {number}: exit status {run.returncode}: {run.stderr[-300:]}")
    print(f"{aborted} of {count} processes ended by SIGABRT{': ' + said if said else ''}")
    return 0 if aborted else 3


if __name__ == "__main__":
    sys.exit(main())
