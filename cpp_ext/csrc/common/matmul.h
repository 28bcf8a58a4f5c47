// Matrix products by the library that PyTorch itself calls: MKL or oneDNN on a CPU, cuBLAS or hipBLASLt on a
// GPU, there on the current stream.
#pragma once

#include "common/op.h"

namespace cpp_ext {

// Steps between rows and columns are in elements, so that a block of a matrix, or its transpose, is one too.
struct Matrix {
  void* data;
  int64_t rows, columns, row_stride, column_stride = 1;
};

inline Matrix transpose(const Matrix& m) {
  return {m.data, m.columns, m.rows, m.column_stride, m.row_stride};
}

// out = a @ b, + bias [columns of out] unless null, in the dtype and on the device of `like`.
// Defined in bindings/matmul.cpp, and once more in classic/library.cpp.
void matmul(const View& like, const Matrix& a, const Matrix& b, void* bias, const Matrix& out);

// Whether that library has products of this dtype for this CPU. Where it has none, PyTorch falls back to a
// plain loop that is 90 times as slow as float32 with all conversions (docs/measurements.md).
bool has_product(DType dtype);

}  // namespace cpp_ext
