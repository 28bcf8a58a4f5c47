// aten::linear through PyTorch's stable ABI, for kernels with a matrix product inside. addmm, which it calls,
// has numbers among its arguments, which torch 2.11 does not take here.
#include "common/matmul.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/shim_utils.h>

#include <array>
#include <optional>

#include "bindings/library.h"

namespace cpp_ext {
namespace {

using torch::stable::Tensor;

Tensor borrow(const View& like, void* data, int64_t rank, const int64_t* sizes, const int64_t* strides) {
  AtenTensorHandle handle;
  const int32_t device =
      like.device.type == DeviceType::cpu ? aoti_torch_device_type_cpu() : aoti_torch_device_type_cuda();
  TORCH_ERROR_CODE_CHECK(aoti_torch_create_tensor_from_blob(
      data, rank, sizes, strides, 0, code_of(like.dtype), device, like.device.index, &handle));
  return Tensor(handle);
}

Tensor borrow(const View& like, const Matrix& m) {
  const int64_t sizes[] = {m.rows, m.columns}, strides[] = {m.row_stride, m.column_stride};
  return borrow(like, m.data, 2, sizes, strides);
}

bool ask(const char* op) {
  std::array<StableIValue, 1> stack{};
  // An op that is not there: PyTorch was built without oneDNN.
  return torch_call_dispatcher(op, "", stack.data(), TORCH_ABI_VERSION) == 0 &&
         torch::stable::detail::to<bool>(stack[0]);
}

}  // namespace

bool has_product(DType dtype) {
  static const bool bf16 = ask("mkldnn::_is_mkldnn_bf16_supported");
  static const bool f16 = ask("mkldnn::_is_mkldnn_fp16_supported");
  return dtype == DType::bf16 ? bf16 : dtype == DType::f16 ? f16 : true;
}

void matmul(const View& like, const Matrix& a, const Matrix& b, void* bias, const Matrix& out) {
  using torch::stable::detail::from;
  const int64_t step = 1;
  std::optional<Tensor> bias_tensor;
  if (bias) bias_tensor = borrow(like, bias, 1, &out.columns, &step);
  std::array<StableIValue, 4> stack{from(borrow(like, a)), from(borrow(like, transpose(b))),
                                    from(bias_tensor), from(borrow(like, out))};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::linear", "out", stack.data(), TORCH_ABI_VERSION));
  torch::stable::detail::to<Tensor>(stack[0]);  // `out` once more
}

}  // namespace cpp_ext
