"""Every routine of the project is a session: `nox -s compare` measures both sides, `nox -s tests` checks them.

All sessions share the environment .nox/env. `nox -s compare -- --help` lists the options of a session.
"""

from __future__ import annotations

import filecmp
import hashlib
import logging
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
ENV = ROOT / ".nox" / "env"  # where nox makes the environment of the session `env`
SCRIPTS = ENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(SCRIPTS / "python")
PYTHONS = ((3, 11), (3, 12), (3, 13))
RUNS_NOX = sys.version_info[:2]
REQUIREMENTS = ("-r", "requirements.txt", "-c", "constraints.txt")
WHEELHOUSE = ROOT / "wheelhouse"  # in a bundle: wheels of everything, for a machine without a network
OFFLINE = ("--no-index", "--find-links", str(WHEELHOUSE)) if WHEELHOUSE.is_dir() else ()
CUDA = ROOT / ".nox" / "cuda"  # NVIDIA's packages, on a machine without a CUDA toolkit
CUDA_REQUIREMENTS = ROOT / "shared_tests" / "emulator" / "requirements-cuda.txt"

nox.needs_version = ">=2025.5.1"
nox.options.sessions = []  # nox without arguments lists the sessions
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True
logging.getLogger("nox").addFilter(lambda record: record.msg != "uv binary not found.")  # uv is not needed

# nox keeps an environment for each session and cannot share it, so `env` owns it and the others run its programs.
session_in_env = nox.session(requires=["env"])


@nox.session(venv_backend="virtualenv", reuse_venv=True, python=None if RUNS_NOX in PYTHONS else ">=3.11,<3.14")
def env(session: nox.Session) -> None:
    """Install requirements.txt into .nox/env if it has changed; every other session does this first."""
    stamp = ENV / "installed.txt"
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in REQUIREMENTS[1::2])).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    install(session)
    site = subprocess.check_output([PYTHON, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    paths = (ROOT, ROOT / "cpp_ext/src", ROOT / "mojo_ops/src", ROOT / "reports/src")
    (Path(site) / "custom_ops_checkout.pth").write_text("".join(f"{path}\n" for path in paths))
    stamp.write_text(digest)


def install(session: nox.Session) -> None:
    """Install the requirements; without MAX the C++ side can still be built, so a machine that MAX lacks goes on."""
    try:
        session.install(*OFFLINE, *REQUIREMENTS, silent=False)
    except nox.command.CommandFailed:
        lines = (ROOT / "requirements.txt").read_text().splitlines()
        requirements = [line for line in lines if line and not line.startswith(("#", "modular=="))]
        session.install(*OFFLINE, *requirements, *REQUIREMENTS[2:], silent=False)
        session.warn("pip could not install modular here; `.nox/env/bin/pip install modular` shows why")


@nox.session(venv_backend="virtualenv", reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Pin what requirements.txt brings with it, for every supported Python and system, in constraints.txt."""
    session.install("uv==0.13.9")
    compile = ("uv", "pip", "compile", "--universal", "--upgrade", "--python-version", ".".join(map(str, PYTHONS[0])))
    output = ("--annotation-style", "line", "--custom-compile-command", "nox -s lock", "-o", "constraints.txt")
    session.run(*compile, *output, "--quiet", "requirements.txt")


def own_toolkit() -> bool:
    """Whether this machine has an nvcc of its own."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return bool(shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin"))


def packaged_toolkit() -> Path | None:
    """The toolkit of NVIDIA's packages, which have a folder of their own: torch may pin other versions of some."""
    return next((nvcc.parents[1] for nvcc in CUDA.glob("nvidia/cu*/bin/nvcc")), None)


def cuda_toolkit(session: nox.Session) -> None:
    """Install nvcc and ptxas into .nox/cuda if the machine has none; without a network, go on without them."""
    stamp, requirements = CUDA / "installed.txt", CUDA_REQUIREMENTS.read_text()
    if own_toolkit() or (stamp.exists() and stamp.read_text() == requirements):
        return
    shutil.rmtree(CUDA, ignore_errors=True)
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *OFFLINE, "--no-deps", "--target", str(CUDA))
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
    """PATH and CUDA_HOME of a command: those of the packaged toolkit if the machine has none of its own."""
    home = None if own_toolkit() else packaged_toolkit()
    if home is None:
        return {"PATH": path}
    return {"PATH": f"{path}{os.pathsep}{home / 'bin'}", "CUDA_HOME": str(home)}


def run(session: nox.Session, *command: str, cwd: Path = ROOT) -> None:
    """Run a command of the environment and leave nox with its exit code: 2 for bad usage, 130 for Ctrl-C, 1 else.

    `session.run` makes 1 of every code, and its Ctrl-C reaches all child processes at once; here only the command
    gets SIGINT, and then all the time that it needs to write its results.
    """
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, **toolkit_variables(path)}
    child = subprocess.Popen(command, cwd=cwd, env=variables, start_new_session=True)
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


@session_in_env
def build_cpp(session: nox.Session) -> None:
    """Build the C++/CUDA extension in place with setuptools and ninja; a second build compiles what has changed."""
    if subprocess.check_output([PYTHON, "-c", "import torch; print(torch.version.cuda)"], text=True).startswith("13."):
        cuda_toolkit(session)  # NVIDIA's packages are CUDA 13, and PyTorch needs the version that it was built with
    run(session, PYTHON, "setup.py", "build_ext", "--inplace", cwd=ROOT / "cpp_ext")


@session_in_env
def build_classic(session: nox.Session) -> None:
    """Build the same C++ kernels as a classic extension (torch/extension.h) in place, which takes about a minute."""
    run(session, PYTHON, "setup.py", "build_classic", cwd=ROOT / "cpp_ext")


@session_in_env
def build_mojo(session: nox.Session) -> None:
    """Compile all Mojo kernels into one file for the MAX engine and one shared library that needs no MAX."""
    run(session, PYTHON, "-m", "mojo_ops.build", *session.posargs)


def build_wheels(session: nox.Session) -> None:
    """Build the wheels of both packages into dist/."""
    run(session, PYTHON, "-m", "mojo_ops.build")
    # The wheel also carries a library for a baseline CPU, so that it runs on older machines than this one.
    os.environ.setdefault("MOJO_OPS_MARCH", "x86-64-v3" if platform.machine() in ("x86_64", "AMD64") else "native")
    run(session, PYTHON, "-m", "mojo_ops.build", "--target", "aot", "--out", "mojo_ops/build/wheel")
    for package in ("cpp_ext", "mojo_ops"):
        for wheel in (ROOT / "dist").glob(f"{package}-*.whl"):
            wheel.unlink()
        pip = (PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-build-isolation", "--no-deps")
        run(session, *pip, "--wheel-dir", "dist", f"./{package}")


@session_in_env
def wheels(session: nox.Session) -> None:
    """Build the wheels of both packages into dist/; they install on machines without a compiler."""
    build_wheels(session)


@session_in_env
def hub(session: nox.Session) -> None:
    """Build each side into dist/hub/ in the layout of a Hugging Face kernel repository."""
    build_wheels(session)
    run(session, PYTHON, "-m", "evidence", "hub")


@session_in_env
def bundle(session: nox.Session) -> None:
    """Collect sources, wheels of all requirements and built kernels in dist/bundle, for a machine without a network."""
    run(session, PYTHON, "-m", "mojo_ops.build", *session.posargs)
    folder = copy_checkout(ROOT / "dist" / "bundle")
    tools = [f"{name}=={metadata.version(name)}" for name in ("nox", "virtualenv")]
    pip = (PYTHON, "-m", "pip", "wheel", "--disable-pip-version-check", "--wheel-dir", str(folder / WHEELHOUSE.name))
    run(session, *pip, *REQUIREMENTS)
    run(session, *pip, *tools)
    session.log(f"{folder}: copy it to the other machine and follow README, “Without a network”")


def copy_checkout(folder: Path) -> Path:
    """Copy the tracked files and the built Mojo kernels into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    artifacts = Path("mojo_ops/src/mojo_ops/artifacts")
    shutil.copytree(ROOT / artifacts, folder / artifacts, dirs_exist_ok=True)
    return folder


@session_in_env
def tests(session: nox.Session) -> None:
    """Build what is missing, then run the tests; `-- --all` adds packaging, toolchains and sanitizers."""
    run(session, PYTHON, "-m", "evidence", "build")
    # Threads that spin while they wait take the cores of the other process: 40 % of the CPU time of small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # worksteal keeps the order of the tests, which share expected results with their neighbours.
    run(session, PYTHON, "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@session_in_env
def new_op(session: nox.Session) -> None:
    """Write the files of a new elementwise op on both sides: NAME "(Tensor x, float scale) -> Tensor"."""
    run(session, PYTHON, "-m", "shared_tests.new_op", *session.posargs)


@session_in_env
def fuzz(session: nox.Session) -> None:
    """Call every op of every built route with 10,000 generated inputs (FUZZ_EXAMPLES sets another number)."""
    examples = os.environ.setdefault("FUZZ_EXAMPLES", "10000")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # calls this small gain nothing from a second thread
    run(session, PYTHON, "-m", "evidence", "build")
    pytest = (PYTHON, "-m", "pytest", "-n", "2", "-vv", "--durations=0", "--durations-min=1")
    run(session, *pytest, "shared_tests/test_properties.py", *session.posargs)
    session.log(f"every op above gave right results for {examples} generated inputs on every route that is built here")


@session_in_env
def emulate(session: nox.Session) -> None:
    """Run the GPU kernels of both sides in an emulator on this CPU."""
    cuda_toolkit(session)
    run(session, PYTHON, "-m", "evidence", "emulate", *session.posargs)


@session_in_env
def sanitize(session: nox.Session) -> None:
    """Call the C++ kernels with generated inputs under AddressSanitizer and UndefinedBehaviorSanitizer."""
    run(session, PYTHON, "-m", "shared_tests.sanitize", *session.posargs)


@session_in_env
def compare(session: nox.Session) -> None:
    """Build, check and measure both sides and write an evidence pack: the main command."""
    run(session, PYTHON, "-m", "evidence", "compare", *session.posargs)


@session_in_env
def targets(session: nox.Session) -> None:
    """Build every op for every CPU and GPU that the installed compilers can target."""
    cuda_toolkit(session)
    run(session, PYTHON, "-m", "evidence", "targets", *session.posargs)


@session_in_env
def models(session: nox.Session) -> None:
    """Swap ops into whole models stage by stage, compare the answers and measure tokens per second."""
    run(session, PYTHON, "-m", "evidence", "build")
    run(session, PYTHON, "-m", "evidence", "models", *session.posargs)


@session_in_env
def notebook(session: nox.Session) -> None:
    """Execute reports/talk.ipynb, the demo of the talk on both sides, into reports/out/talk.ipynb."""
    run(session, PYTHON, "-m", "evidence", "build")
    run(session, PYTHON, "-m", "evidence", "notebook", *session.posargs)


@session_in_env
def report(session: nox.Session) -> None:
    """Render the report of a pack again: `nox -s report -- reports/out/latest`."""
    run(session, PYTHON, "-m", "evidence", "report", *session.posargs)


@session_in_env
def diff(session: nox.Session) -> None:
    """Compare two packs, `nox -s diff -- OLD NEW`, and exit with code 1 if one regressed beyond noise."""
    run(session, PYTHON, "-m", "evidence", "diff", *session.posargs)


@session_in_env
def site(session: nox.Session) -> None:
    """Write a folder for any static host: an index of packs, a page each, and the history: `nox -s site -- PACK...`."""
    run(session, PYTHON, "-m", "evidence", "site", *session.posargs)


@session_in_env
def lint(session: nox.Session) -> None:
    """Check lint and format with ruff, clang-format and mojo format; `-- --fix` writes the changes."""
    fix = "--fix" in session.posargs
    run(session, PYTHON, "-m", "ruff", "check", *(["--fix"] if fix else []), ".")
    run(session, PYTHON, "-m", "ruff", "format", *([] if fix else ["--diff"]), ".")
    sources = [path for suffix in ("cpp", "h", "cu", "cuh") for path in (ROOT / "cpp_ext/csrc").rglob(f"*.{suffix}")]
    run(session, str(SCRIPTS / "clang-format"), *(["-i"] if fix else ["--dry-run", "-Werror"]), *map(str, sources))
    mojo = [path for folder in ("mojo_ops", "shared_tests") for path in (ROOT / folder).rglob("*.mojo")]
    if changed := format_mojo(session, sorted(mojo), fix):
        session.error(f"`nox -s lint -- --fix` would reformat {', '.join(changed)}")


def format_mojo(session: nox.Session, sources: list[Path], fix: bool) -> list[str]:
    """Format Mojo sources, or copies of them, since `mojo format` cannot check; return those that would change."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [path if fix else Path(folder, f"{index}.mojo") for index, path in enumerate(sources)]
        if not fix:
            for path, copy in zip(sources, copies, strict=True):
                shutil.copy(path, copy)
        run(session, str(SCRIPTS / "mojo"), "format", "--quiet", "--line-length", "110", *map(str, copies))
        pairs = zip(sources, copies, strict=True)
        return [str(path.relative_to(ROOT)) for path, copy in pairs if not filecmp.cmp(path, copy, shallow=False)]


@session_in_env
def typecheck(session: nox.Session) -> None:
    """Check the types of both packages, the test suite and the reports with mypy."""
    run(session, PYTHON, "-m", "mypy", *session.posargs)
