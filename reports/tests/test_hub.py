"""`nox -s hub`: each side as a Hugging Face kernel repository, loaded by `kernels` where nothing else of ours is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from evidence.commands import hub

from shared_tests.test_wheels import WHEELS, Environment, build_wheel, environment, run, session_folder

ROOT = Path(__file__).resolve().parents[2]
SIDES = [wheel for wheel in WHEELS if not wheel.extra]
__all__ = ["build_wheel", "environment", "session_folder"]  # fixtures
pytestmark = [pytest.mark.full, pytest.mark.wheels]

LLAMA = """
import sys, torch, transformers, warnings
from pathlib import Path
from kernels import LocalLayerRepository, Mode, get_local_kernel, kernelize, use_kernel_mapping

package, folder = sys.argv[1], Path(sys.argv[2])
kernel = get_local_kernel(folder, package)
assert Path(kernel.__file__).is_relative_to(folder)
x, weight = torch.randn(3, 64), torch.randn(64)
op = getattr(kernel, "aot", kernel).rms_norm
torch.testing.assert_close(op(x, weight, 1e-6), torch.nn.functional.rms_norm(x, (64,), weight, 1e-6))

torch.manual_seed(0)
sizes = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=100)
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()
ids = torch.randint(0, 100, (2, 7))
with torch.no_grad():
    own = model(ids).logits
layer = LocalLayerRepository(repo_path=folder, package_name=package, layer_name="RMSNorm")
warnings.simplefilter("ignore")  # about marked layers that the mapping does not have
with use_kernel_mapping({"RMSNorm": {"cpu": {Mode.TRAINING | Mode.TORCH_COMPILE: layer}}}, inherit_mapping=False):
    kernelize(model, mode=Mode.TRAINING, device="cpu")
norms = [m for m in model.modules() if "RMSNorm" in type(m).__name__ and "RMSNorm.forward" in m.forward.__qualname__]
with torch.no_grad():
    result = model(ids).logits
torch.testing.assert_close(result, own, rtol=1e-4, atol=1e-5)
assert not torch.equal(result, own)
print(len(norms), "norms of", Path(sys.modules[norms[0].forward.__module__].__file__).parents[1])
"""


@pytest.fixture(scope="module", params=SIDES, ids=lambda wheel: wheel.package)
def repository(request: pytest.FixtureRequest, build_wheel, tmp_path_factory) -> Path:
    """The folder of one side."""
    folder = tmp_path_factory.mktemp("hub") / request.param.package
    hub.unpack(build_wheel(request.param.package), request.param.package, folder)
    return folder


def test_layout(repository: Path) -> None:
    stable, noarch = hub.variants()
    assert re.fullmatch(r"torch-stable-abi211-(cpu|cu\d+|rocm\d+)-\w+-(linux|darwin|windows)", stable)
    assert sorted(folder.name for folder in (repository / "build").iterdir()) == sorted((stable, noarch))
    for variant in (stable, noarch):
        names = {file.name for file in (repository / "build" / variant).rglob("*")}
        assert {"__init__.py", "layers.py", "metadata.json"} <= names
        assert any(name.endswith((".so", ".dylib")) for name in names)
        assert not any(name.endswith(hub.LEFT_OUT) for name in names)


def test_kernels_loads_it_in_an_empty_environment(repository: Path, environment) -> None:
    wheel = next(wheel for wheel in SIDES if wheel.package == repository.name)
    here: Environment = environment(wheel)
    pins = [
        line for line in (ROOT / "requirements.txt").read_text().split() if re.match("(kernels|transformers)==", line)
    ]
    run(sys.executable, "-m", "pip", "--python", here.python, "install", "--quiet", *pins, env=here.variables)
    run(sys.executable, "-m", "pip", "--python", here.python, "uninstall", "--quiet", "-y", wheel.package)
    output = run(here.python, "-c", LLAMA, wheel.package, repository, env=here.variables, cwd=here.folder)
    assert re.search(rf"^5 norms of {re.escape(str(repository / 'build'))}/", output, re.MULTILINE), output
