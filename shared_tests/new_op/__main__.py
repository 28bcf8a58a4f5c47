"""`python -m shared_tests.new_op NAME "SCHEMA"`: see the session `new_op` in the noxfile."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shared_tests.new_op.files import write
from shared_tests.new_op.schema import Refused, read

ROOT = Path(__file__).resolve().parents[2]
NEXT = """
They compute a placeholder formula; each file says where to put yours. Next steps:

  nox -s build_cpp build_mojo           # builds both sides
  nox -s build_classic                  # the same op in the classic extension
  nox -s tests -- -k {name}             # the suite on every route
  nox -s emulate -- --ops {name}        # the GPU kernels of both sides, on this CPU
  nox -s lint typecheck

A gradient is an op of its own, {name}_backward. `register_autograd` then takes the place of `no_gradient` in both
modules of {name}, and `gradients` in its spec names the arguments, as for gelu_tanh. README has a row for an op."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the files and returns 0, or returns 2 if the arguments are rejected."""
    parser = argparse.ArgumentParser(prog="nox -s new_op --", description="Write the files of a new elementwise op.")
    parser.add_argument("name", help="of the op: lower-case letters, digits and underscores")
    parser.add_argument("schema", help='without the name, such as "(Tensor x, Tensor y, float scale) -> Tensor"')
    options = parser.parse_args(arguments)
    try:
        op = read(options.name, options.schema, ROOT)
    except Refused as refusal:
        print(f"new_op: {refusal}", file=sys.stderr)
        return 2
    for path in write(op, ROOT):
        print(path.relative_to(ROOT))
    print(NEXT.format(name=op.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
