"""`evidence hub`: unpack the wheels of both sides into folders in the layout of a Hugging Face kernel repository."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import zipfile
from pathlib import Path

from rich.console import Console

PACKAGES = ("cpp_ext", "mojo_ops")
# The engine's graphs load in one version of MAX alone; a kernel repository has what needs only torch.
LEFT_OUT = (".mef", ".mojoc", "libmojo_ops.so")
CARD = """---
library_name: kernels
---
# {package}

Layers for `transformers` models: {layers}. Made by `nox -s hub`.

```python
from kernels import LocalLayerRepository, Mode, kernelize, use_kernel_mapping

norm = LocalLayerRepository(repo_path=Path("{package}"), package_name="{package}", layer_name="RMSNorm")
with use_kernel_mapping({{"RMSNorm": {{"cpu": norm}}}}, inherit_mapping=False):
    kernelize(model, mode=Mode.TRAINING, device="cpu")
```
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Where the wheels are, and where the folders go."""
    from evidence.core.machine import ROOT

    parser.add_argument("--wheels", type=Path, default=ROOT / "dist")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "hub")


def variants() -> tuple[str, str]:
    """The names of the build for this machine's PyTorch: for kernels 0.13 and newer, which know the stable ABI, and for
    kernels 0.12, where what loads into every version of PyTorch names none."""
    import torch

    if torch.version.hip:
        name, backend = "rocm", "rocm" + "".join(torch.version.hip.split(".")[:2])
    elif torch.version.cuda:
        name, backend = "cuda", "cu" + torch.version.cuda.replace(".", "")
    else:
        name = backend = "cpu"
    return f"torch-stable-abi211-{backend}-{platform.machine()}-{platform.system().lower()}", f"torch-{name}"


def unpack(wheel: Path, package: str, repository: Path) -> list[Path]:
    """Fills `build/<variant>` of a repository from a wheel; returns these folders."""
    shutil.rmtree(repository, ignore_errors=True)
    names = variants()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(f"{package}/") and not name.endswith(LEFT_OUT):
                file = repository / "build" / names[0] / name.removeprefix(f"{package}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))
            elif name.endswith(".dist-info/licenses/LICENSE"):
                (repository / "LICENSE").write_bytes(archive.read(name))
    first = repository / "build" / names[0]
    if (record := first / "artifacts" / "build.json").is_file():
        facts = json.loads(record.read_text())
        facts["targets"] = {"aot": facts["targets"]["aot"]}
        record.write_text(json.dumps(facts, indent=1) + "\n")
    metadata = {"name": package.replace("_", "-"), "version": 1, "python-depends": []}
    metadata["backend"] = {"type": names[1].removeprefix("torch-")}
    (first / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")
    shutil.copytree(first, repository / "build" / names[1])
    (repository / "README.md").write_text(CARD.format(package=package, layers="RMSNorm, NewGELU, GeluTanh"))
    return [repository / "build" / name for name in names]


def run(options: argparse.Namespace, console: Console) -> int:
    """0, or 2 when a wheel is not there."""
    for package in PACKAGES:
        wheels = sorted(options.wheels.glob(f"{package}-*.whl"))
        if not wheels:
            console.print(f"hub: no wheel of {package} in {options.wheels}; run `nox -s wheels`", highlight=False)
            return 2
        for folder in unpack(wheels[-1], package, options.out / package):
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            console.print(f"{folder}: {size / 1e6:.1f} MB", highlight=False)
    return 0
