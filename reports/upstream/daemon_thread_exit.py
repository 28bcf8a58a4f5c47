"""A daemon thread that calls torch.add when the interpreter ends aborts the process.

What: a daemon thread adds two small tensors in a loop; the main thread returns.
Expected: exit status 0; the thread is stopped or left behind.
Seen: “terminate called without an active exception” and SIGABRT. Python below 3.14 ends the thread with pthread_exit
when it takes the GIL again, which unwinds through C++ frames that do not allow it.
Whose: CPython (python/cpython#87135, changed in 3.14). It affects PyTorch and every extension that releases the GIL.
MAX prints the same message when it aborts at process exit.
"""

import platform
import signal
import subprocess
import sys

import torch

CHILD = """
import threading, time, torch
a = torch.ones(16)
def forever():
    while True:
        torch.add(a, a)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""


def main() -> int:
    runs = [subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True) for _ in range(3)]
    aborted = [run for run in runs if run.returncode == -signal.SIGABRT]
    print(f"torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{len(aborted)} of {len(runs)} processes ended by SIGABRT")
    if aborted:
        print(aborted[0].stderr.strip().splitlines()[0])
    return 0 if aborted else 3


if __name__ == "__main__":
    sys.exit(main())
