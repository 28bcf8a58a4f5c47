// Ops that do nothing, and ops that only allocate what they return: what the dispatcher and an allocation cost. Built
// twice: in the stable ABI (as route cpp and, by the same C functions, mojo_aot), and in the classic one (cpp_classic).
// What “nothing” returns was made at its first call: an op that returned its input would be copied by torch.compile.
#ifdef EVIDENCE_STABLE
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <vector>

using torch::stable::Tensor;

namespace {

Tensor allocate(Tensor a, Tensor) {
  const int64_t rank = a.dim();
  std::vector<int64_t> strides(rank);
  int64_t step = 1;
  for (int64_t i = rank - 1; i >= 0; --i) {
    strides[i] = step;
    step *= a.size(i);
  }
  AtenTensorHandle made;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(rank, a.sizes().data(), strides.data(), aoti_torch_dtype_float32(),
                                                  aoti_torch_device_type_cpu(), 0, &made));
  return Tensor(made);
}

Tensor nothing(Tensor a, Tensor b) {
  static const Tensor& kept = *new Tensor(allocate(a, b));
  return kept;
}

}  // namespace

STABLE_TORCH_LIBRARY(evidence_lab, m) {
  m.def("nothing(Tensor a, Tensor b) -> Tensor");
  m.def("allocate(Tensor a, Tensor b) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(evidence_lab, CPU, m) {
  m.impl("nothing", TORCH_BOX(&nothing));
  m.impl("allocate", TORCH_BOX(&allocate));
}
#else
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

namespace {

at::Tensor allocate(const at::Tensor& a, const at::Tensor&) {
  return at::empty_like(a);
}

at::Tensor nothing(const at::Tensor& a, const at::Tensor& b) {
  static const at::Tensor& kept = *new at::Tensor(allocate(a, b));
  return kept;
}

}  // namespace

TORCH_LIBRARY(evidence_lab_classic, m) {
  m.def("nothing(Tensor a, Tensor b) -> Tensor");
  m.def("allocate(Tensor a, Tensor b) -> Tensor");
}

TORCH_LIBRARY_IMPL(evidence_lab_classic, CPU, m) {
  m.impl("nothing", nothing);
  m.impl("allocate", allocate);
}
#endif
