"""Every routine of the project as a short session. They share one environment, .nox/env, made from requirements.txt.

`nox --list` names them; `nox -s compare` is the main job.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
ENV = ROOT / ".nox" / "env"
SCRIPTS = ENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(SCRIPTS / "python")
WHEELHOUSE = ROOT / "wheelhouse"  # in a bundle: wheels of everything, for a machine without a network
CUDA = ROOT / ".nox" / "cuda"  # NVIDIA's packages, on a machine without a CUDA toolkit
CUDA_REQUIREMENTS = ROOT / "shared_tests" / "emulator" / "requirements-cuda.txt"
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"
nox.needs_version = ">=2024.4.15"


def find_python(session: nox.Session) -> str:  # noqa: RET503 (session.error raises)
    """The interpreter that runs nox if the project supports it, else the newest supported one on PATH."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in reversed(PYTHONS):
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    session.error(
        f"Python 3.10 to 3.13 is needed; nox runs on {sys.version.split()[0]} and no other is on PATH. "
        "Usually: `apt install python3.12 python3.12-venv python3.12-dev`, `brew install python@3.12`, or python.org."
    )


def environment(session: nox.Session) -> None:
    """Make .nox/env if it is not there, and install requirements.txt into it if the file changed since."""
    stamp = ENV / "installed.json"
    wanted = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    if stamp.exists() and json.loads(stamp.read_text())["requirements"] == wanted:
        return
    if not Path(PYTHON).exists():
        session.run(sys.executable, "-m", "virtualenv", "--quiet", "-p", find_python(session), str(ENV), external=True)
    offline = ("--no-index", "--find-links", str(WHEELHOUSE)) if WHEELHOUSE.is_dir() else ()
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *offline)
    failed = None
    if subprocess.call([*pip, "-r", "requirements.txt"], cwd=ROOT) != 0:
        # Without MAX the C++ side can still be built, tested and reported; anything else missing stops us.
        lines = (ROOT / "requirements.txt").read_text().splitlines(keepends=True)
        with tempfile.TemporaryDirectory() as folder:
            rest = Path(folder) / "requirements.txt"
            rest.write_text("".join(line for line in lines if not line.startswith("modular==")))
            session.run(*pip, "-r", str(rest), external=True)
        failed = "pip could not install modular here; `.nox/env/bin/pip install modular` shows why"
        session.warn(failed)
    site = subprocess.check_output([PYTHON, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    paths = (ROOT, ROOT / "cpp_ext/src", ROOT / "mojo_ops/src", ROOT / "reports/src")
    (Path(site) / "custom_ops_checkout.pth").write_text("".join(f"{p}\n" for p in paths))
    stamp.write_text(json.dumps({"requirements": wanted, "modular": failed}))


def own_toolkit() -> bool:
    """Whether this machine has an nvcc of its own."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return bool(shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin"))


def packaged_toolkit() -> Path | None:
    """The toolkit of NVIDIA's packages, which have a folder of their own: torch may pin other versions of some."""
    return next((nvcc.parents[1] for nvcc in CUDA.glob("nvidia/cu*/bin/nvcc")), None)


def cuda_toolkit(session: nox.Session) -> None:
    """Install nvcc and ptxas into .nox/cuda where the machine has none; without a network go on without them."""
    stamp, requirements = CUDA / "installed.txt", CUDA_REQUIREMENTS.read_text()
    if own_toolkit() or (stamp.exists() and stamp.read_text() == requirements):
        return
    shutil.rmtree(CUDA, ignore_errors=True)
    offline = ("--no-index", "--find-links", str(WHEELHOUSE)) if WHEELHOUSE.is_dir() else ()
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *offline, "--no-deps", "--target", str(CUDA))
    home = subprocess.call([*pip, "-r", str(CUDA_REQUIREMENTS)], cwd=ROOT) == 0 and packaged_toolkit()
    if not home:
        session.warn(
            "No CUDA toolkit: nvcc is not on PATH, and pip could not install NVIDIA's packages (130 MB). "
            "Everything that needs nvcc is left out. Install CUDA 13, or run this again with a network."
        )
        return
    # PyTorch links extensions with -L$CUDA_HOME/lib64 -lcudart.
    (home / "lib64").symlink_to("lib")
    library = next((home / "lib").glob("libcudart.so.*"))
    (home / "lib" / "libcudart.so").symlink_to(library.name)
    stamp.write_text(requirements)


def toolkit_variables(path: str) -> dict[str, str]:
    """PATH and CUDA_HOME of a command: those of the packaged toolkit where the machine has none of its own."""
    home = None if own_toolkit() else packaged_toolkit()
    if home is None:
        return {"PATH": path}
    return {"PATH": f"{path}{os.pathsep}{home / 'bin'}", "CUDA_HOME": str(home)}


def run(session: nox.Session, *command: str, cwd: Path = ROOT) -> None:
    """Run a command of the environment and leave nox with its exit code: 2 for bad usage, 130 for Ctrl-C, 1 else.

    The command gets its own process group and one SIGINT a Ctrl-C, and then all the time it needs to write what it has.
    """
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **toolkit_variables(path)}
    child = subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
    while True:
        try:
            code = child.wait()
            break
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
    if code in (2, 130):
        sys.exit(code)
    if code:
        session.error(f"{' '.join(map(str, command[:4]))} ended with exit code {code}")


@nox.session
def build_cpp(session: nox.Session) -> None:
    """Build the C++/CUDA extension in place with setuptools and ninja (incremental)."""
    environment(session)
    if subprocess.check_output([PYTHON, "-c", "import torch; print(torch.version.cuda)"], text=True).startswith("13."):
        cuda_toolkit(session)  # the packages are CUDA 13, and PyTorch wants its own major version
    run(session, PYTHON, "setup.py", "build_ext", "--inplace", cwd=ROOT / "cpp_ext")


@nox.session
def build_classic(session: nox.Session) -> None:
    """Build the same kernels as a classic extension (torch/extension.h) in place; about a minute."""
    environment(session)
    run(session, PYTHON, "setup.py", "build_classic", cwd=ROOT / "cpp_ext")


@nox.session
def build_mojo(session: nox.Session) -> None:
    """Compile the Mojo kernels: one MEF for MAX and one library without it, each of the whole catalogue."""
    environment(session)
    run(session, PYTHON, "-m", "mojo_ops.build", *session.posargs)


def build_wheels(session: nox.Session) -> None:
    """Build the wheels of both packages into dist/."""
    # What the wheel of mojo_ops carries: the build in place, and a library for a baseline CPU.
    run(session, PYTHON, "-m", "mojo_ops.build")
    os.environ.setdefault("MOJO_OPS_MARCH", "x86-64-v3" if platform.machine() in ("x86_64", "AMD64") else "native")
    run(session, PYTHON, "-m", "mojo_ops.build", "--target", "aot", "--out", "mojo_ops/build/wheel")
    for package in ("cpp_ext", "mojo_ops"):
        for old in (ROOT / "dist").glob(f"{package}-*.whl"):
            old.unlink()
        pip = (PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-build-isolation", "--no-deps")
        run(session, *pip, "--wheel-dir", "dist", f"./{package}")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels of both packages into dist/; they install on machines without a compiler."""
    environment(session)
    build_wheels(session)


@nox.session
def hub(session: nox.Session) -> None:
    """Build dist/hub/<package> for each side: a folder in the layout of a Hugging Face kernel repository."""
    environment(session)
    build_wheels(session)
    run(session, PYTHON, "-m", "evidence", "hub")


@nox.session
def bundle(session: nox.Session) -> None:
    """One folder, dist/bundle, for a machine without a network: sources, wheels of everything, and what is built here.

    Arguments go to the Mojo build: `--target cpu --target aot --target cuda:sm_90` adds the kernels for a GPU.
    """
    environment(session)
    run(session, PYTHON, "-m", "mojo_ops.build", *session.posargs)
    folder = ROOT / "dist" / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    built = Path("mojo_ops/src/mojo_ops/artifacts")
    shutil.copytree(ROOT / built, folder / built, dirs_exist_ok=True)
    tools = [f"{name}=={metadata.version(name)}" for name in ("nox", "virtualenv")]
    pip = (PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--wheel-dir", str(folder / WHEELHOUSE.name))
    run(session, *pip, "-r", "requirements.txt", *tools)
    session.log(f"{folder}: take it along, then README, «Without a network»")


@nox.session
def tests(session: nox.Session) -> None:
    """Build what is missing, then hold every route to the shared suite; arguments go to pytest (`-n 0`: no workers)."""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "build")
    # Two processes: nothing is timed, and half of the suite waits for compilers, which use more cores where there are.
    # In the order of the files as far as that goes, since tests beside one another share what they compute.
    run(session, PYTHON, "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session
def new_op(session: nox.Session) -> None:
    """Write the files of a new elementwise op on both sides: nox -s new_op -- NAME "(Tensor x, float s) -> Tensor"."""
    environment(session)
    run(session, PYTHON, "-m", "shared_tests.new_op", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """10,000 drawn calls an op (FUZZ_EXAMPLES sets another number) on every built route; arguments go to pytest."""
    environment(session)
    examples = os.environ.setdefault("FUZZ_EXAMPLES", "10000")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for calls this small a second thread is only waited for
    run(session, PYTHON, "-m", "evidence", "build")
    pytest = (PYTHON, "-m", "pytest", "-n", "2", "-vv", "--durations=0", "--durations-min=1")
    run(session, *pytest, "shared_tests/test_properties.py", *session.posargs)
    session.log(f"every op above: {examples} drawn calls, right on every route that is built here")


@nox.session
def emulate(session: nox.Session) -> None:
    """Run the GPU kernels of both sides on this CPU: --ops --sides --dtypes --all --noise --json FILE --pack PACK."""
    environment(session)
    cuda_toolkit(session)
    run(session, PYTHON, "-m", "evidence", "emulate", *session.posargs)


@nox.session
def sanitize(session: nox.Session) -> None:
    """The drawn calls on C++ kernels with AddressSanitizer and UBSan: --examples 2000; other arguments go to pytest."""
    environment(session)
    run(session, PYTHON, "-m", "shared_tests.sanitize", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """The main job: build, check, measure both sides, write an evidence pack. --quick --ops --routes --device --out."""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "compare", *session.posargs)


@nox.session
def targets(session: nox.Session) -> None:
    """Build every op for every CPU and GPU target that this machine can; --ops --sides --targets --all --pack."""
    environment(session)
    cuda_toolkit(session)
    run(session, PYTHON, "-m", "evidence", "targets", *session.posargs)


@nox.session
def models(session: nox.Session) -> None:
    """Swap ops into whole models, stage by stage: same answers, tokens a second. --quick --model --dtypes --pack."""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "build")
    run(session, PYTHON, "-m", "evidence", "models", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """Execute reports/talk.ipynb, the talk's demo with both sides, into reports/out/talk.ipynb."""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "build")
    run(session, PYTHON, "-m", "evidence", "notebook", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Render a pack again: nox -s report -- reports/out/latest"""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "report", *session.posargs)


@nox.session
def diff(session: nox.Session) -> None:
    """What changed between two packs beyond noise, exit code 1 on a regression: nox -s diff -- PACK_A PACK_B"""
    environment(session)
    run(session, PYTHON, "-m", "evidence", "diff", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, clang-format and mojo format, all as checks; `-- --fix` writes the changes."""
    environment(session)
    fix = "--fix" in session.posargs
    run(session, PYTHON, "-m", "ruff", "check", *(["--fix"] if fix else []), ".")
    run(session, PYTHON, "-m", "ruff", "format", *([] if fix else ["--diff"]), ".")
    sources = sorted(p for s in ("cpp", "h", "cu", "cuh") for p in (ROOT / "cpp_ext/csrc").rglob(f"*.{s}"))
    run(session, str(SCRIPTS / "clang-format"), *(["-i"] if fix else ["--dry-run", "-Werror"]), *map(str, sources))
    mojo = sorted(p for folder in ("mojo_ops", "shared_tests") for p in (ROOT / folder).rglob("*.mojo"))
    with tempfile.TemporaryDirectory() as folder:
        # `mojo format` has no check mode: format copies and compare
        copies = [ROOT / p if fix else Path(shutil.copy(p, folder)) for p in mojo]
        run(session, str(SCRIPTS / "mojo"), "format", "--quiet", "--line-length", "110", *map(str, copies))
        wrong = [p for p, copy in zip(mojo, copies, strict=True) if not filecmp.cmp(p, copy, shallow=False)]
    if wrong:
        session.error(f"`nox -s lint -- --fix` would reformat {', '.join(str(p.relative_to(ROOT)) for p in wrong)}")


@nox.session
def typecheck(session: nox.Session) -> None:
    """mypy over the Python of both sides, the suite and the reports."""
    environment(session)
    run(session, PYTHON, "-m", "mypy", *session.posargs)
