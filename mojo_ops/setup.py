"""The wheel of mojo_ops: for one platform, any Python, since nothing in it is linked against Python.

It carries what `python -m mojo_ops.build` built in place. The library of route mojo_aot is taken from build/wheel if it
was built there for a baseline CPU: MOJO_OPS_MARCH=x86-64-v3 python -m mojo_ops.build --target aot --out build/wheel
"""

import json
import shutil
import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
ARTIFACTS = ROOT / "src/mojo_ops/artifacts"
BASELINE = ROOT / "build/wheel"
LIBRARY, RECORD = "libmojo_aot.so", "build.json"


class WithBaseline(build_py):
    """Refuses to pack a package without its kernels, and takes the baseline library."""

    def run(self) -> None:
        missing = [name for name in ("cpu.mef", "libmojo_ops.so", LIBRARY, RECORD) if not (ARTIFACTS / name).is_file()]
        if missing:
            raise SystemExit(f"mojo_ops: {', '.join(missing)} not built; run first: python -m mojo_ops.build")
        shutil.rmtree(self.build_lib, ignore_errors=True)  # a wheel takes all of it, also what an earlier build left
        super().run()
        if not (BASELINE / LIBRARY).is_file():
            return
        record, baseline = (json.loads((folder / RECORD).read_text()) for folder in (ARTIFACTS, BASELINE))
        if record["hashes"] != baseline["hashes"]:
            raise SystemExit("mojo_ops: build/wheel was built from other sources; build it again")
        record["targets"]["aot"] = baseline["targets"]["aot"]
        package_artifacts = Path(self.build_lib) / "mojo_ops/artifacts"
        shutil.copy(BASELINE / LIBRARY, package_artifacts)
        (package_artifacts / RECORD).write_text(json.dumps(record, indent=1) + "\n")


class PlatformWheel(bdist_wheel):
    """Tagged py3-none-<platform>."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(cmdclass={"build_py": WithBaseline, "bdist_wheel": PlatformWheel})
