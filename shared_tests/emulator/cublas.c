/* cuBLAS as MAX's binding calls it. Products go to a callback, which leaves them to PyTorch on the CPU. */

enum { SUCCESS = 0, NOT_INITIALIZED = 1 };

/* A product in the terms of cublasGemmEx: matrices are column-major, types are of cudaDataType. */
struct Product {
  int transpose_a, transpose_b, rows, columns, depth;
  const void* a;
  int a_type, a_stride;
  const void* b;
  int b_type, b_stride;
  void* c;
  int c_type, c_stride;
  float alpha, beta;
};

typedef int (*Multiply)(const struct Product* product);

static Multiply multiply;
static int handle;

void emulate_cublas_with(Multiply function) { multiply = function; }

int cublasCreate_v2(void** created) {
  *created = &handle;
  return SUCCESS;
}

int cublasDestroy_v2(void* used) { return SUCCESS; }

int cublasSetStream_v2(void* used, void* stream) { return SUCCESS; }

int cublasSetWorkspace_v2(void* used, void* workspace, unsigned long size) { return SUCCESS; }

int cublasSetMathMode(void* used, int mode) { return SUCCESS; }

int cublasGemmEx(void* used, int transpose_a, int transpose_b, int rows, int columns, int depth, const void* alpha,
                 const void* a, int a_type, int a_stride, const void* b, int b_type, int b_stride, const void* beta,
                 void* c, int c_type, int c_stride, int compute_type, int algorithm) {
  const struct Product product = {transpose_a, transpose_b, rows,   columns, depth,    a,
                                  a_type,      a_stride,    b,      b_type,  b_stride, c,
                                  c_type,      c_stride,    *(const float*)alpha, *(const float*)beta};
  return multiply ? multiply(&product) : NOT_INITIALIZED;
}
