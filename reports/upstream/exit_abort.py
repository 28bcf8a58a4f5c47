"""A process that used MAX sometimes aborts at exit with “terminate called without an active exception”.

What: processes, one after another, compile a graph of one op, execute it and return from the main module.
Expected: exit status 0.
Seen: occasionally SIGABRT after the last Python statement, with the message of a joinable std::thread that is
destroyed. The frequency depends on the load of the machine. See also daemon_thread_exit.py.
Whose: Modular. `python exit_abort.py 20` starts twenty processes (default 5), about 5 s each.
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
    count, aborted, message = int(sys.argv[1]) if len(sys.argv) > 1 else 5, 0, ""
    for number in range(count):
        # An empty cache makes the process compile. The abort was seen only in processes that had compiled.
        with tempfile.TemporaryDirectory() as cache:
            env = {**os.environ, "MODULAR_CACHE_DIR": cache}
            run = subprocess.run([sys.executable, "-c", CHILD], env=env, capture_output=True, text=True)
        if run.returncode == -signal.SIGABRT:
            aborted += 1
            message = next((line for line in run.stderr.splitlines() if line.strip()), "")
        elif run.returncode:
            print(f"process {number}: exit status {run.returncode}: {run.stderr[-300:]}")
    print(f"{aborted} of {count} processes ended by SIGABRT{': ' + message if message else ''}")
    return 0 if aborted else 3


if __name__ == "__main__":
    sys.exit(main())
