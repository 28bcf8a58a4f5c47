"""`InferenceSession(num_threads=N)` aborts the process.

What: InferenceSession(num_threads=1) and (num_threads=2), as the first MAX call of a process and after CPU().
Expected: a session whose kernels use that number of threads, or a Python exception.
Seen: an abort in every order. CPU affinity is the only way to limit the threads.
Whose: Modular.
"""

import platform
import subprocess
import sys
from importlib.metadata import version

CHILD = """
from max.driver import CPU
from max.engine import InferenceSession
{first}
InferenceSession({devices}num_threads={threads})
print("made", flush=True)
import os; os._exit(0)
"""
ORDERS = {
    "first call": ("", "devices=[CPU()], "),
    "no devices": ("", ""),
    "after CPU()": ("CPU()", "devices=[CPU()], "),
}


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}")
    failed = 0
    for name, (first, devices) in ORDERS.items():
        for threads in (1, 2):
            code = CHILD.format(first=first, devices=devices, threads=threads)
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            errors = [line for line in run.stderr.splitlines() if line.strip()]
            reason = errors[0][:160] if errors else ""
            what = "works" if run.returncode == 0 else f"exit status {run.returncode}: {reason}"
            print(f"{name}, num_threads={threads}: {what}")
            failed += run.returncode != 0
    print(f"{failed} of {2 * len(ORDERS)} processes failed")
    return 0 if failed else 3


if __name__ == "__main__":
    sys.exit(main())
