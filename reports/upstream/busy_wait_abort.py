"""`MODULAR_THREAD_BUSY_WAIT_US` set to anything but its default aborts the process.

What: a process creates a CPU device and an InferenceSession, with the variable unset, 200, 0 and 50.
Expected: worker threads spin for that many microseconds before they sleep, or at least nothing aborts.
Seen: an abort for every value but the default, unless `MODULAR_RUNTIME_THREAD_BUSY_WAIT_TIME_US` has the same value.
Whose: Modular.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version

VARIABLES = ("MODULAR_THREAD_BUSY_WAIT_US", "MODULAR_RUNTIME_THREAD_BUSY_WAIT_TIME_US")
CHILD = """
from max.driver import CPU
from max.engine import InferenceSession
InferenceSession(devices=[CPU()])
print("made", flush=True)
import os; os._exit(0)
"""


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}")
    codes = {}
    for value in (None, "200", "0", "50"):
        env = {key: text for key, text in os.environ.items() if key not in VARIABLES}
        if value is not None:
            env[VARIABLES[0]] = value
        run = subprocess.run([sys.executable, "-c", CHILD], env=env, capture_output=True, text=True)
        codes[value] = run.returncode
        errors = [line for line in run.stderr.splitlines() if line.strip()]
        reason = errors[0][:160] if errors else ""
        what = "works" if run.returncode == 0 else f"exit status {run.returncode}: {reason}"
        print(f"{'unset' if value is None else value}: {what}")
    return 0 if codes[None] == 0 and (codes["0"] or codes["50"]) else 3


if __name__ == "__main__":
    sys.exit(main())
