"""What the talk “Bridging PyTorch with MAX and Mojo” says, and what judging each claim takes."""

from typing import NamedTuple


class Claim(NamedTuple):
    """One claim: `says` in the talk's sense, `needs` what must be measured to judge it."""

    id: str
    says: str
    needs: str


CLAIMS = (
    Claim("boilerplate", "A C++ extension needs 50+ lines of boilerplate even for an add.",
          "code lines of add in the buckets binding, build and glue"),
    Claim("skills", "C++ needs several languages, a build system, hand-made bindings and the PyTorch C++ API.",
          "files, languages, distinct framework API names and build lines per op and route"),
    Claim("dev-loop", "C++ has a slow development cycle.",
          "seconds from a one-line kernel edit to the first correct result, and of a clean build, on both sides"),
    Claim("barrier", "High barrier to entry, hours of debugging builds.",
          "packages, bytes and commands before the first build, and what each missing prerequisite prints"),
    Claim("python-syntax", "Python-like syntax makes kernels simpler.",
          "kernel lines and tokens of the same ops on both sides"),
    Claim("minimal-build", "Minimal build configuration.", "build-configuration lines per route"),
    Claim("cpp-speed", "C/C++ performance.", "run-time rows that hold both sides"),
    Claim("zero-cost", "Zero-cost abstractions.",
          "a generic Mojo kernel against a hand-unrolled twin, foreach against explicit loops"),
    Claim("fusion", "The graph compiler fuses automatically.",
          "a graph_op expression against the hand-fused kernel and eager: time and bytes moved"),
    Claim("rope", "RoPE with MAX is faster than PyTorch on big sizes (MI300X: 1.20x at 8x4096x32x128, 0.11x at "
          "1x128x4x32).",
          "rope at the talk's four sizes, eager and at least one Mojo or MAX route"),
    Claim("run-anywhere", "Write once, run anywhere; no vendor lock-in.",
          "a targets matrix: every source built for every CPU, NVIDIA, AMD and Apple target"),
    Claim("amd-start-over", "AMD support in C++ means starting over with HIP.",
          "lines that hipify cannot translate, and a build for an AMD target"),
    Claim("rebuild", "Every PyTorch update may need a rebuild.",
          "the same binaries loaded under other PyTorch and MAX versions"),
    Claim("types", "Catches errors at compile time.", "the fault corpus run on both sides"),
    Claim("memory-safe", "Memory safety.", "the fault corpus run on both sides"),
    Claim("torch-compile", "Works as a normal op under torch.compile.",
          "graph breaks, fullgraph, dynamic shapes and opcheck per route"),
    Claim("replace-layers", "LLM ops and layers can be replaced one by one.",
          "GPT-2 and a Llama-style model with replaced layers: same greedy tokens, tokens per second"),
    Claim("cost", "Up to 10x lower cost; 70-85 % cost reduction.",
          "end-to-end tokens per second of both sides and the reader's own prices"),
    Claim("footprint", "The MAX container has about 1.3 GB, the vLLM one about 9.8 GB.",
          "bytes installed to build and to run per route, from package records"),
    Claim("battery-included", "pip install modular is all.",
          "packages, bytes and seconds of the install, and what else the machine had to have"),
    Claim("production", "Production ready.",
          "soak, threads, fork, bad input, determinism and memory growth per route"),
)  # fmt: skip
"""In the order of the talk's argument: writing, building, speed, reach, safety, use."""
