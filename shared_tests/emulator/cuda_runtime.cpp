// The CUDA runtime that the unmodified launch code runs on, and the parts of the project's bindings that it
// calls. Device memory is host memory, work on a stream is done when the call returns, and a kernel launch is
// a callback into cuda_host.py. It is linked into one library with the objects of one op, in place of
// libcudart.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <stdexcept>
#include <string>

#include "bindings/signature.h"
#include "common/checks.h"
#include "common/matmul.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/scratch.h"

// What the emulator answers. Sizes are in bytes.
struct Emulator {
  // Returns the error of the launch; `dimensions` are the grid's and the block's x, y and z.
  int (*launch)(const char* kernel, const unsigned* dimensions, void** arguments, size_t dynamic_shared);
  int (*device_attribute)(int attribute);
  // Registers, static shared memory and largest number of threads of a kernel.
  void (*kernel_facts)(const char* kernel, int* facts);
  int (*blocks_of_a_multiprocessor)(const char* kernel, int threads, size_t dynamic_shared);
  void (*allocated)(void* data, size_t bytes);
  void (*freed)(void* data);
  // A matrix is {address, rows, columns, row stride, column stride}.
  int (*matmul)(int dtype, const int64_t* a, const int64_t* b, void* bias, const int64_t* out);
};

namespace {

constexpr int kDefaultShared = 48 * 1024;  // bytes of a block, static and dynamic

const Emulator* emulator = nullptr;
cudaError_t last_error = cudaSuccess;

struct Kernel {
  std::string name;
  int opted_in = 0;  // bytes of dynamic shared memory that cudaFuncSetAttribute allowed

  struct Facts {
    int registers, static_shared, threads;
  };
  Facts facts() const {
    int values[3];
    emulator->kernel_facts(name.c_str(), values);
    return {values[0], values[1], values[2]};
  }
  // The most dynamic shared memory that a launch may ask for.
  size_t dynamic_shared() const {
    return static_cast<size_t>(std::max(kDefaultShared - facts().static_shared, opted_in));
  }
};

// By the address of the host function. Static constructors of other files fill it, so it is made on first
// use.
std::map<const void*, Kernel>& kernels() {
  static auto* map = new std::map<const void*, Kernel>;
  return *map;
}

struct {
  dim3 grid, block;
  size_t dynamic_shared;
  cudaStream_t stream;
} configuration;

cudaError_t finished(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

int device_attribute(cudaDeviceAttr attribute) {
  return emulator->device_attribute(static_cast<int>(attribute));
}

bool valid_grid_and_block(const dim3& grid, const dim3& block) {
  const auto within = [](unsigned size, cudaDeviceAttr most) {
    return size > 0 && size <= static_cast<unsigned>(device_attribute(most));
  };
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return within(grid.x, cudaDevAttrMaxGridDimX) && within(grid.y, cudaDevAttrMaxGridDimY) &&
         within(grid.z, cudaDevAttrMaxGridDimZ) && within(block.x, cudaDevAttrMaxBlockDimX) &&
         within(block.y, cudaDevAttrMaxBlockDimY) && within(block.z, cudaDevAttrMaxBlockDimZ) &&
         threads <= static_cast<unsigned>(device_attribute(cudaDevAttrMaxThreadsPerBlock));
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, size_t dynamic_shared) {
  const auto kernel = kernels().find(function);
  if (kernel == kernels().end()) return finished(cudaErrorInvalidDeviceFunction);
  if (!valid_grid_and_block(grid, block)) return finished(cudaErrorInvalidConfiguration);
  if (dynamic_shared > kernel->second.dynamic_shared()) return finished(cudaErrorInvalidValue);
  const unsigned dimensions[] = {grid.x, grid.y, grid.z, block.x, block.y, block.z};
  return finished(static_cast<cudaError_t>(
      emulator->launch(kernel->second.name.c_str(), dimensions, arguments, dynamic_shared)));
}

// Fresh memory is NaN in every floating-point type, so that a read before a write shows in the result.
void* allocate(size_t bytes) {
  constexpr size_t kAlignment = 256;
  void* data = std::aligned_alloc(kAlignment, (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment);
  if (!data) throw std::bad_alloc();
  std::memset(data, 0xFF, bytes);
  emulator->allocated(data, bytes);
  return data;
}

void release(void* data) {
  if (data) emulator->freed(data);
  std::free(data);
}

}  // namespace

// ---- what code that nvcc generates calls ----

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*,
                            dim3*, int*) {
  kernels()[host].name = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t dynamic_shared, cudaStream_t stream) {
  configuration = {grid, block, dynamic_shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* dynamic_shared, void* stream) {
  *grid = configuration.grid;
  *block = configuration.block;
  *dynamic_shared = configuration.dynamic_shared;
  *static_cast<cudaStream_t*>(stream) = configuration.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t dynamic_shared, cudaStream_t) {
  return launch(kernel, grid, block, arguments, dynamic_shared);
}

// ---- the runtime's own functions ----

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             size_t dynamic_shared, cudaStream_t) {
  return launch(function, grid, block, arguments, dynamic_shared);
}

// Blocks of a cooperative launch wait for each other, and the emulator runs them one after the other.
cudaError_t cudaLaunchCooperativeKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) {
  return finished(cudaErrorNotSupported);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    const auto& cluster = attribute.val.clusterDim;
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative)
      return finished(cudaErrorNotSupported);
    if (attribute.id == cudaLaunchAttributeClusterDimension && cluster.x * cluster.y * cluster.z > 1)
      return finished(cudaErrorNotSupported);
  }
  return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      return "unrecognized error code";
  }
}
const char* cudaGetErrorName(cudaError_t error) {
  return cudaGetErrorString(error);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return finished(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = device_attribute(attribute);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  const auto kernel = kernels().find(function);
  if (kernel == kernels().end()) return finished(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  const int most = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  if (value < 0 || value + kernel->second.facts().static_shared > most)
    return finished(cudaErrorInvalidValue);
  kernel->second.opted_in = value;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  const auto kernel = kernels().find(function);
  if (kernel == kernels().end()) return finished(cudaErrorInvalidDeviceFunction);
  const Kernel::Facts facts = kernel->second.facts();
  *attributes = {};
  attributes->numRegs = facts.registers;
  attributes->sharedSizeBytes = static_cast<size_t>(facts.static_shared);
  attributes->maxThreadsPerBlock = facts.threads;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel->second.dynamic_shared());
  attributes->ptxVersion = attributes->binaryVersion =
      10 * device_attribute(cudaDevAttrComputeCapabilityMajor) +
      device_attribute(cudaDevAttrComputeCapabilityMinor);
  return cudaSuccess;
}
cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) {
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                   int threads, size_t dynamic_shared,
                                                                   unsigned) {
  const auto kernel = kernels().find(function);
  if (kernel == kernels().end()) return finished(cudaErrorInvalidDeviceFunction);
  *blocks = emulator->blocks_of_a_multiprocessor(kernel->second.name.c_str(), threads, dynamic_shared);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic_shared, 0);
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  *data = allocate(bytes);
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  return cudaMalloc(data, bytes);
}
cudaError_t cudaFree(void* data) {
  release(data);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  return cudaFree(data);
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t) {
  return cudaMemset(data, value, bytes);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

}  // extern "C"

// ---- the parts of csrc/bindings that kernels and their launch code call ----

namespace cpp_ext {

static Op* defined = nullptr;

void define(Op& op) {
  op.signature = parse_schema(op.schema);
  op.next = defined;
  defined = &op;
}
void implement(const Op&, const char*, Boxed, Boxed, Boxed) {}
void call(const Op&, Run, uint64_t*) {}
void call_out(const Op&, Run, uint64_t*) {}
void call_autograd(const Op&, uint64_t*) {}

Scratch::Scratch(Device, int64_t bytes) : data_(allocate(static_cast<size_t>(bytes))), tensor_(nullptr) {}
Scratch::~Scratch() {
  release(data_);
}

bool has_product(DType) {
  return true;
}
void matmul(const View& like, const Matrix& a, const Matrix& b, void* bias, const Matrix& out) {
  const auto numbers = [](const Matrix& m, int64_t (&to)[5]) {
    to[0] = reinterpret_cast<int64_t>(m.data);
    to[1] = m.rows;
    to[2] = m.columns;
    to[3] = m.row_stride;
    to[4] = m.column_stride;
  };
  int64_t left[5], right[5], product[5];
  numbers(a, left);
  numbers(b, right);
  numbers(out, product);
  if (emulator->matmul(static_cast<int>(like.dtype), left, right, bias, product))
    throw std::runtime_error("the matrix product failed");
}

void pool_parallel_for(int64_t n, int64_t, RangeFunction function, void* context) {
  function(0, n, context);
}

}  // namespace cpp_ext

// ---- what cuda_host.py calls ----

// A contiguous tensor; `data` is null and `defined` 0 for None.
struct Tensor {
  void* data;
  const int64_t* sizes;
  int64_t rank, numel;
  int32_t dtype, defined;
};

extern "C" void emulate_with(const Emulator* callbacks) {
  emulator = callbacks;
}

// The number of a dtype by its name in PyTorch, -1 for one that the ops do not know.
extern "C" int dtype_code(const char* name) {
  for (int code = 0; code < static_cast<int>(cpp_ext::DType::other); ++code)
    if (!std::strcmp(name, cpp_ext::name_of(static_cast<cpp_ext::DType>(code)))) return code;
  return -1;
}

// Calls an op's GPU code. Returns 0, or 1 with the message of what it threw in `error`.
extern "C" int call_gpu(const char* name, const Tensor* inputs, int input_count, const Tensor* outputs,
                        int output_count, const cpp_ext::Scalar* scalars, char* error, size_t error_size) {
  using namespace cpp_ext;
  const auto view = [](const Tensor& tensor) {
    if (!tensor.defined) return undefined_view();
    View v{};
    v.data = tensor.data;
    v.sizes = tensor.sizes;
    v.rank = tensor.rank;
    v.numel = tensor.numel;
    v.dtype = static_cast<DType>(tensor.dtype);
    v.device = {DeviceType::cuda, 0};
    v.contiguous = true;
    return v;
  };
  View in[kMaxArgs], out[kMaxOutputs];
  for (int i = 0; i < input_count; ++i) in[i] = view(inputs[i]);
  for (int i = 0; i < output_count; ++i) out[i] = view(outputs[i]);
  try {
    const Op* op = defined;
    while (op && std::strcmp(op->name, name)) op = op->next;
    if (!op || !op->gpu) throw std::runtime_error(std::string(name) + " has no GPU implementation");
    const Args args{*op, in, out, scalars, nullptr};
    check_inputs(args);
    last_error = cudaSuccess;
    if (any_elements(args)) op->gpu(args);
    return 0;
  } catch (const std::exception& thrown) {
    std::strncpy(error, thrown.what(), error_size - 1);
    error[error_size - 1] = '\0';
    return 1;
  }
}
