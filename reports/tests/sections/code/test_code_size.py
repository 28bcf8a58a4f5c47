"""Code size: known files counted by hand in each language, the cut into buckets, and that nothing is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from evidence.core.machine import ROOT
from evidence.core.pack import empty_pack
from evidence.sections.code import measure as code_size
from evidence.sections.code.api import api_names
from evidence.sections.code.complexity import Complexity, complexity_of
from evidence.sections.code.table import code, effort
from evidence.sections.code.tokens import tokens

# Counted by hand below, each with the same statements: one function of three decisions, one of none.
CPP = """// A comment.
#include <torch/csrc/stable/tensor.h>

template <class T>
float norm(const T* x, int n) {
  float sum = 0.0f;  // why
  for (int i = 0; i < n && i < 8; ++i) {
    if constexpr (sizeof(T) == 4) sum += x[i];
  }
  return sum;
}

int main() {
  const auto twice = [](int x) { return 2 * x; };
  torch::stable::Tensor t; aoti_torch_get_dim(t.get(), nullptr);
  return std::max(1, twice(2));
}
"""

CUDA = """__global__ void scale(float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = i % 2 ? 0.0f : x[i];
}

void launch(float* x, int n, cudaStream_t s) {
  scale<<<n, 32, 0, s>>>(x, n);
}
"""

MOJO = '''"""A module."""

from std.math import sqrt
from max.gpu.host import DeviceContext, (
    Other as Name,
)


@always_inline
def norm[
    T: DType,
    //,
](x: Ptr[T], n: Int) raises -> Float32:
    """Says what; it is no code, if it or and says so."""
    var sum = Float32(0)  # for what
    for i in range(n):
        comptime if T == DType.float32 and n > 1:
            sum += x[i]
    return sum


trait Op:
    """Asked for."""

    @staticmethod
    def run(call: Call):
        """The kernel."""
        ...


struct Add(Op):
    comptime BODY: def(Int) thin -> None = nothing

    @staticmethod
    def run(call: Call):
        def body(i: Int):
            if i:
                return

        body(external_call["aoti_torch_get_dim", Int32](1))
        extensibility.register("x")
'''

PYTHON = '''"""A module."""

import torch
from torch import Tensor


def norm(x: Tensor, n: int) -> float:
    """Says what."""
    return sum(v for v in x if v) if n and n > 1 else torch.ops.cpp_ext.norm(x)


def call(library):
    library.aoti_torch_get_dim(1)
'''


@pytest.mark.parametrize(
    ("text", "suffix", "lines", "functions", "complexity"),
    [
        # include, template, signature, sum, for, if, return; signature, lambda, tensor, return: 11.
        # norm 1 + for + && + if = 4, main 1; the lambda belongs to main.
        (CPP, ".cpp", 11, 2, 5),
        # signature, i, if; signature, launch: 5. scale 1 + if + ? = 3, launch 1.
        (CUDA, ".cu", 5, 2, 4),
        # 2 imports and the imported name are 3; @, def, T, //, `](..`, var, for, comptime, sum, return: 10; trait, @,
        # def: 3 and its `...`: 1; struct, comptime, @, def, def, if, return, body, register: 9. In all 26.
        # norm 1 + for + if + and = 4; Op.run has no body; Add.run 1 + if = 2.
        (MOJO, ".mojo", 26, 2, 6),
        # 2 imports, def, return, def, call: 6. norm 1 + for + if + if + and = 5, call 1.
        (PYTHON, ".py", 6, 2, 6),
    ],
)
def test_known_files_counted_by_hand(text: str, suffix: str, lines: int, functions: int, complexity: int) -> None:
    assert code_size.size_of(text, suffix).lines == lines
    assert complexity_of(text, suffix) == Complexity(functions, complexity)


@pytest.mark.parametrize(
    ("text", "suffix", "number"),
    [
        ("int bind() { return 1; }", ".cpp", 9),  # int bind ( ) { return 1 ; }
        ("f<<<n, 32>>>(x);  // go", ".cu", 14),  # f < < < n , 32 > > > ( x ) ;
        ('def f[T: D](x: Ptr[T]):\n    """Doc."""\n    g(x, "a b")\n', ".mojo", 22),
        # def f [ T : D ] ( x : Ptr [ T ] ) : = 16, g ( x , "a b" ) = 6
        ('def f(x):\n    """Doc."""\n    x += 1\n', ".py", 10),  # def f ( x ) : x + = 1
    ],
)
def test_tokens_counted_by_hand_and_by_one_rule(text: str, suffix: str, number: int) -> None:
    assert code_size.size_of(text, suffix).tokens == number


def test_api_names_of_known_files() -> None:
    assert api_names(CPP, ".cpp") == {"torch::stable::Tensor", "aoti_torch_get_dim"}
    assert api_names(CUDA, ".cu") == {"blockIdx", "blockDim", "threadIdx", "cudaStream_t"}
    assert api_names(MOJO, ".mojo") == {
        "max.gpu.host.DeviceContext",
        "max.gpu.host.Other",
        "aoti_torch_get_dim",
        "extensibility.register",
    }
    assert api_names(PYTHON, ".py") == {"torch.Tensor", "torch.ops", "aoti_torch_get_dim"}
    assert api_names('x = """\nTORCH_LIBRARY(a, m) {\n"""\n', ".py") == {"TORCH_LIBRARY"}, "code that it writes"
    assert api_names("requires = ['torch']\n", ".toml") == set()


def test_an_aligned_struct_is_no_function() -> None:
    assert complexity_of("struct alignas(16) Pack { int v[4]; };\nint f() { return 1; }\n", ".h") == Complexity(1, 1)


def test_statements_are_told_from_continued_lines() -> None:
    code = tokens('f(\n    "not a docstring",\n)\n"""A docstring."""\n', ".mojo")
    assert [token.text for token in code] == ["f", "(", '"not a docstring"', ",", ")"]


def test_comments_and_docstrings_do_not_count() -> None:
    bare = "def f(x):\n    return x + 1\n"
    documented = '"""A module."""\n\n\ndef f(x):\n    """Adds one."""\n    # because\n    return x + 1\n'
    for suffix in (".py", ".mojo"):
        assert code_size.size_of(bare, suffix) == code_size.size_of(documented, suffix)
        assert code_size.size_of(bare, suffix).lines == 2
    for count in (code_size.size_of, complexity_of, api_names):
        with pytest.raises(ValueError, match="expected one of"):
            count("x", ".rs")


KERNEL = """// A comment.
#include <cmath>

float twice(float x) {
  return 2 * x;  // why
}

// ---- binding ----
int bind() { return 1; }
"""


def test_a_kernel_file_is_cut_at_its_marker(tmp_path: Path) -> None:
    """Counted by hand: kernel = include, signature, return (a lone bracket is no code); binding = one line."""
    file = tmp_path / "op.cpp"
    file.write_text(KERNEL)
    kernel, binding = code_size.parts(file)
    assert code_size.size_of(kernel, ".cpp").lines == 3
    assert code_size.size_of(binding, ".cpp").lines == 1


def test_generated_code_counts_as_its_generator_on_the_routes_that_have_it() -> None:
    """The rule names each generator; it stands among what the ops of a route share, and nowhere else."""
    assert all(name in code_size.RULE for name in ("classic_ops.py", "bindings.py", "library.py"))
    rows = code_size.measure(ROOT, ["add"], list(code_size.all_sources()))
    generators = {
        "cpp_ext/classic_ops.py": {"cpp_classic"},
        "mojo_ops/src/mojo_ops/bindings.py": {"mojo", "mojo_stock"},
        "mojo_ops/kernels/common/max_call.mojo": {"mojo", "mojo_stock"},
        "mojo_ops/kernels/common/engine.mojo": {"mojo"},
    }
    for file, routes in generators.items():
        having = [row for row in rows if file in row.files]
        assert {row.route for row in having} == routes, file
        assert all((row.bucket, row.shared) == ("binding", True) for row in having), file
    by_route = {row.route: row for row in rows if row.bucket == "binding" and row.shared}
    assert by_route["mojo"].gpu_tokens > 0
    assert by_route["mojo_stock"].gpu_tokens == by_route["mojo_aot"].gpu_tokens == 0


def test_a_declaration_counts_on_every_route_of_its_side() -> None:
    rows = code_size.measure(ROOT, ["rms_norm"], list(code_size.all_sources()))
    tokens = {row.route: row.tokens for row in rows if row.bucket == "binding" and not row.shared}
    assert tokens["mojo"] == tokens["mojo_aot"] == tokens["mojo_stock"] > 0
    assert tokens["cpp"] == tokens["cpp_pybind"] == tokens["cpp_classic"] > 0


def test_what_only_a_gpu_needs_is_told_apart() -> None:
    text = "@always_inline\ndef add_gpu[\n    T: D\n](x: T):\n    f()\n\n\n"
    text += "def add_cpu():\n    g()\n\n\ndef add_kernel():\n    h()\n"
    gpu = code_size.gpu_part(Path("kernels/add.mojo"), text, "kernel")
    assert gpu.replace("\n\n", "") == text.replace("def add_cpu():\n    g()\n", "").replace("\n\n", "")
    assert code_size.gpu_part(Path("kernels/torch_op.mojo"), text, "binding") == ""
    assert code_size.gpu_part(Path("csrc/cuda/add.cu"), "x", "kernel") == "x"
    assert code_size.gpu_part(Path("csrc/common/gpu.h"), "x", "kernel") == "x"
    assert code_size.gpu_part(Path("csrc/cpu/add.cpp"), "x", "kernel") == ""


def test_gzip_bytes_of_what_only_a_gpu_needs() -> None:
    shared, gpu = "def add_cpu():\n    first(1)\n\n", "def add_gpu():\n    second(2, thread_idx.x)\n    third(3)\n"
    assert code_size.without(shared + gpu, gpu) == shared
    assert code_size.without(gpu + shared, gpu) == shared
    assert code_size.without(shared, "") == shared
    both, alone = (code_size.size_of(text, ".mojo").gzip_bytes for text in (shared + gpu, shared))
    assert code_size.Piece(Path("add.mojo"), shared + gpu, gpu).gpu_gzip_bytes == both - alone > 0
    assert code_size.Piece(Path("add.cpp"), "int a;", "").gpu_gzip_bytes == 0
    whole = "__global__ void add(float *x) {}"
    assert code_size.Piece(Path("add.cu"), whole, whole).gpu_gzip_bytes == code_size.size_of(whole, ".cu").gzip_bytes


def test_every_route_of_the_checkout_is_counted_whole() -> None:
    """Every file of both sides' sources is in some bucket, and no route counts a file in two shared buckets."""
    ops = sorted(p.stem for p in (ROOT / "cpp_ext/csrc/cpu").glob("*.cpp"))
    rows = code_size.measure(ROOT, ops, list(code_size.all_sources()))
    assert {row.route for row in rows} == set(code_size.all_sources())
    assert all(row.lines > 0 and row.tokens > row.lines for row in rows if row.files)
    for row in rows:
        sizes = ((row.gpu_lines, row.lines), (row.gpu_tokens, row.tokens), (row.gpu_gzip_bytes, row.gzip_bytes))
        assert all(of_gpu is not None and 0 <= of_gpu <= of_all for of_gpu, of_all in sizes), row
    assert all(bool(row.gpu_tokens) == bool(row.gpu_gzip_bytes) for row in rows)
    for route in code_size.all_sources():
        files = [f for row in rows if row.route == route and row.shared for f in row.files]
        assert len(files) == len(set(files)), route
    counted = {f for row in rows for f in row.files}
    sources = [
        p for s in ("cpp", "h", "cu", "mojo", "py") for d in ("cpp_ext", "mojo_ops") for p in (ROOT / d).rglob(f"*.{s}")
    ]
    names = {str(p.relative_to(ROOT)) for p in sources if not {"build", "artifacts", "__pycache__"} & set(p.parts)}
    assert names - counted == set()


def test_effort_counts_files_languages_and_lines_of_one_op() -> None:
    """cpp: .cpp, .cu and .py; Mojo: .mojo and .py; counted from the checkout, not from what the rule says."""
    pack = empty_pack()
    pack.set_rows("code", code_size.measure(ROOT, ["add", "rms_norm", "rope"], ["cpp", "mojo_aot", "max_graph"]))
    by_route = {row.route: row for row in effort(pack)}
    assert (by_route["cpp"].files, by_route["cpp"].languages) == (3, ("C++", "CUDA", "Python"))
    assert (by_route["mojo_aot"].files, by_route["mojo_aot"].languages) == (2, ("Mojo", "Python"))
    assert (by_route["max_graph"].files, by_route["max_graph"].languages) == (2, ("Python",))
    for route, row in by_route.items():
        lines = sorted(code(pack, route, op=op).lines for op in ("add", "rms_norm", "rope"))
        assert row.lines == lines[1]
        assert row.ops == 3
        assert row.complexity is not None
    assert by_route["cpp"].gpu_lines > 0
    assert by_route["mojo_aot"].shared_lines == code(pack, "mojo_aot", shared=True).lines > 0
