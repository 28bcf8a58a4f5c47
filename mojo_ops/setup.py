"""The wheel of mojo_ops: for one platform, any Python, since nothing in it is linked against Python."""

import sysconfig
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

ARTIFACTS = Path(__file__).parent / "src/mojo_ops/artifacts"


class PlatformWheel(bdist_wheel):
    """Tagged py3-none-<platform>; refuses to pack a package without its kernels."""

    def run(self) -> None:
        missing = [n for n in ("cpu.mef", "libmojo_ops.so", "libmojo_aot.so") if not (ARTIFACTS / n).is_file()]
        if missing:
            raise SystemExit(f"mojo_ops: {', '.join(missing)} not built; run first: python -m mojo_ops.build")
        super().run()

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(cmdclass={"bdist_wheel": PlatformWheel})
