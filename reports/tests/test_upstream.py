"""The reproducers of reports/upstream that take less than ten seconds run and see what they say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "upstream"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SLOW = {"stock_copy", "stock_recompiles", "fork_hang", "exit_abort", "bf16_cast", "shared_lib_string"}
BY_CHANCE = {"daemon_thread_exit"}
SEEN, NOT_SEEN = 0, 3


@pytest.mark.parametrize("script", [s for s in SCRIPTS if s.stem not in SLOW], ids=lambda script: script.stem)
def test_reproducer_runs_and_sees_it(script, tmp_path):
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode in ((SEEN, NOT_SEEN) if script.stem in BY_CHANCE else (SEEN,)), done.stdout + done.stderr
    versions = done.stdout.splitlines()[0]
    assert "Python" in versions
    assert "torch" in versions or "modular" in versions


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_reproducer_says_what_is_wrong_and_whose_it_is(script):
    text = ast.get_docstring(ast.parse(script.read_text())) or ""
    for word in ("What:", "Expected:", "Seen:", "Whose:"):
        assert word in text, word


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_reproducer_stands_alone_and_in_the_list(script):
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    ours = {"cpp_ext", "mojo_ops", "shared_tests", "evidence"}
    assert not {name.split(".")[0] for name in imported} & ours
    assert f"`{script.name}`" in (FOLDER / "README.md").read_text()
