"""`mojo build --emit shared-lib` does not link when an exported function uses a string literal.

What: builds one exported C function that passes the address of a literal to `puts`.
Expected: a shared library, because the compiler chooses relocations that are valid in one.
Seen: the linker fails (“relocation R_X86_64_PC32 against symbol `static_string_...' can not be used when making a
shared object”). With `-Xlinker -Bsymbolic` it links and runs.
Whose: Modular (the literal's symbol is neither hidden nor addressed through the GOT). Takes about 15 s.
"""

import ctypes
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROGRAM = """
from std.ffi import external_call


@export
def greet() abi("C") -> Int32:
    return external_call["puts", Int32]("a literal\\0".unsafe_ptr())
"""


def main() -> int:
    print(f"modular {version('modular')}, Python {platform.python_version()}, {platform.machine()}")
    mojo = str(Path(sys.executable).with_name("mojo"))
    codes = []
    with tempfile.TemporaryDirectory() as name:
        source, library = Path(name) / "greet.mojo", Path(name) / "libgreet.so"
        source.write_text(PROGRAM)
        for options in ([], ["-Xlinker", "-Bsymbolic"]):
            command = [mojo, "build", "--emit", "shared-lib", *options, "-o", str(library), str(source)]
            built = subprocess.run(command, capture_output=True, text=True)
            codes.append(built.returncode)
            errors = [line for line in built.stderr.splitlines() if "relocation" in line or "error" in line]
            outcome = (
                "links" if built.returncode == 0 else f"exit status {built.returncode}: {errors[0] if errors else ''}"
            )
            print(f"{' '.join(options) or 'no option'}: {outcome}")
        if codes[1] == 0:
            ctypes.CDLL(str(library)).greet()
    return 0 if codes[0] and codes[1] == 0 else 3


if __name__ == "__main__":
    sys.exit(main())
