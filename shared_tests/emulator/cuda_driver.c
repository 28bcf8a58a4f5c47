/* The CUDA driver as MAX's DeviceContext calls it, over memory of the host. Modules and launches go to
 * Python.
 *
 * A device address is a host address, and every call is complete when it returns. Functions that MAX looks up
 * and the project's launch code does not call report that they are not supported.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, NOT_SUPPORTED = 801 };
enum { UNDEFINED = 0xFF, ALIGNMENT = 256 };

/* Callbacks of mojo_driver.py. Modules and functions are numbers from 1 on, 0 is none; results are of type
 * CUresult where nothing else is said. */
struct Emulator {
  const char* device_name;
  int (*device_attribute)(int number); /* gives the value */
  int (*load)(const char* ptx);        /* gives the module */
  int (*function)(int module, const char* name);
  int (*function_attribute)(int function, int number); /* gives the value */
  int (*set_function_attribute)(int function, int number, int value);
  int (*resident_blocks)(int function, int threads,
                         size_t dynamic_shared); /* gives blocks of a multiprocessor */
  int (*launch)(int function, const unsigned* dimensions, void** arguments, unsigned dynamic_shared);
  void (*allocated)(Address data, size_t bytes);
  void (*freed)(Address data);
  const char* (*error_name)(int error);
  const char* (*error_string)(int error);
};

static const struct Emulator* emulator;

void emulate_driver_with(const struct Emulator* callbacks) {
  emulator = callbacks;
}

/* ---- device and context; there is one of each ---- */

static void* const CONTEXT = (void*)1;
static void* const POOL = (void*)2;
static void* const STREAM = (void*)3;
static void* const EVENT = (void*)4;

int cuInit(unsigned flags) {
  return SUCCESS;
}

int cuDriverGetVersion(int* version) {
  *version = 13000; /* MAX then hands over PTX text; for older drivers it assembles by itself */
  return SUCCESS;
}

int cuDeviceGetCount(int* count) {
  *count = 1;
  return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = 0;
  return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDeviceGetName(char* name, int size, int device) {
  strncpy(name, emulator->device_name, size);
  name[size - 1] = 0;
  return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int number, int device) {
  *value = emulator->device_attribute(number);
  return SUCCESS;
}

int cuDeviceGetMemPool(void** pool, int device) {
  *pool = POOL;
  return SUCCESS;
}

int cuDeviceCanAccessPeer(int* can, int device, int peer) {
  *can = 0;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = CONTEXT;
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  return SUCCESS;
}

int cuCtxCreate_v2(void** context, unsigned flags, int device) {
  return cuDevicePrimaryCtxRetain(context, device);
}

int cuCtxDestroy(void* context) {
  return SUCCESS;
}

int cuCtxGetCurrent(void** context) {
  return cuDevicePrimaryCtxRetain(context, 0);
}

int cuCtxSetCurrent(void* context) {
  return SUCCESS;
}

int cuCtxPushCurrent(void* context) {
  return SUCCESS;
}

int cuCtxPopCurrent(void** context) {
  return context ? cuCtxGetCurrent(context) : SUCCESS;
}

int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return SUCCESS;
}

/* ---- streams and events, on which nothing is ever pending ---- */

int cuStreamCreate(void** stream, unsigned flags) {
  *stream = STREAM;
  return SUCCESS;
}

int cuStreamCreateWithPriority(void** stream, unsigned flags, int priority) {
  return cuStreamCreate(stream, flags);
}

int cuStreamDestroy(void* stream) {
  return SUCCESS;
}

int cuStreamSynchronize(void* stream) {
  return SUCCESS;
}

int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
  return SUCCESS;
}

int cuStreamIsCapturing(void* stream, int* status) {
  *status = 0;
  return SUCCESS;
}

int cuLaunchHostFunc(void* stream, void (*function)(void*), void* data) {
  function(data);
  return SUCCESS;
}

int cuEventCreate(void** event, unsigned flags) {
  *event = EVENT;
  return SUCCESS;
}

int cuEventDestroy(void* event) {
  return SUCCESS;
}

int cuEventRecord(void* event, void* stream) {
  return SUCCESS;
}

int cuEventQuery(void* event) {
  return SUCCESS;
}

int cuEventSynchronize(void* event) {
  return SUCCESS;
}

/* ---- memory ---- */

static void* new_memory(size_t bytes) {
  size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  return aligned_alloc(ALIGNMENT, whole ? whole : ALIGNMENT);
}

int cuMemAlloc_v2(Address* data, size_t bytes) {
  void* memory = new_memory(bytes);
  if (!memory) return OUT_OF_MEMORY;
  memset(memory, UNDEFINED, bytes);
  *data = (Address)memory;
  emulator->allocated(*data, bytes);
  return SUCCESS;
}

int cuMemFree_v2(Address data) {
  emulator->freed(data);
  free((void*)data);
  return SUCCESS;
}

int cuMemAllocAsync(Address* data, size_t bytes, void* stream) {
  return cuMemAlloc_v2(data, bytes);
}

int cuMemFreeAsync(Address data, void* stream) {
  return cuMemFree_v2(data);
}

/* Memory of the host: no kernel may touch it. */
int cuMemAllocHost_v2(void** data, size_t bytes) {
  *data = new_memory(bytes);
  return *data ? SUCCESS : OUT_OF_MEMORY;
}

int cuMemHostAlloc(void** data, size_t bytes, unsigned flags) {
  return cuMemAllocHost_v2(data, bytes);
}

int cuMemFreeHost(void* data) {
  free(data);
  return SUCCESS;
}

int cuMemGetInfo_v2(size_t* unused, size_t* total) {
  *unused = *total = (size_t)64 << 30;
  return SUCCESS;
}

int cuMemcpyDtoD_v2(Address to, Address from, size_t bytes) {
  memmove((void*)to, (const void*)from, bytes);
  return SUCCESS;
}

int cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
  return cuMemcpyDtoD_v2(to, (Address)from, bytes);
}

int cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) {
  return cuMemcpyDtoD_v2((Address)to, from, bytes);
}

int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
  return cuMemcpyDtoD_v2(to, from, bytes);
}

int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
  return cuMemcpyHtoD_v2(to, from, bytes);
}

int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
  return cuMemcpyDtoH_v2(to, from, bytes);
}

#define MEMSET(bits)                                                                           \
  int cuMemsetD##bits##_v2(Address data, uint##bits##_t value, size_t count) {                 \
    for (size_t i = 0; i < count; ++i) ((uint##bits##_t*)data)[i] = value;                     \
    return SUCCESS;                                                                            \
  }                                                                                            \
  int cuMemsetD##bits##Async(Address data, uint##bits##_t value, size_t count, void* stream) { \
    return cuMemsetD##bits##_v2(data, value, count);                                           \
  }

MEMSET(8)
MEMSET(16)
MEMSET(32)

/* ---- modules and launches ---- */

static void* handle(int number) {
  return (void*)(intptr_t)number;
}

static int number_of(void* handle) {
  return (int)(intptr_t)handle;
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned options, void* names, void** values) {
  *module = handle(emulator->load(image));
  return *module ? SUCCESS : INVALID_VALUE;
}

int cuModuleUnload(void* module) {
  return SUCCESS;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  *function = handle(emulator->function(number_of(module), name));
  return *function ? SUCCESS : NOT_FOUND;
}

int cuFuncGetAttribute(int* value, int number, void* function) {
  *value = emulator->function_attribute(number_of(function), number);
  return SUCCESS;
}

int cuFuncSetAttribute(void* function, int number, int value) {
  return emulator->set_function_attribute(number_of(function), number, value);
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads,
                                                size_t dynamic_shared) {
  *blocks = emulator->resident_blocks(number_of(function), threads, dynamic_shared);
  return SUCCESS;
}

struct LaunchConfig { /* CUlaunchConfig */
  unsigned dimensions[6], dynamic_shared;
  void *stream, *attributes;
  unsigned attribute_count;
};

int cuLaunchKernelEx(const struct LaunchConfig* config, void* function, void** arguments, void** extra) {
  return emulator->launch(number_of(function), config->dimensions, arguments, config->dynamic_shared);
}

int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned dynamic_shared, void* stream,
                   void** arguments, void** extra) {
  const struct LaunchConfig config = {{grid_x, grid_y, grid_z, block_x, block_y, block_z}, dynamic_shared};
  return cuLaunchKernelEx(&config, function, arguments, extra);
}

int cuGetErrorName(int error, const char** text) {
  *text = emulator->error_name(error);
  return SUCCESS;
}

int cuGetErrorString(int error, const char** text) {
  *text = emulator->error_string(error);
  return SUCCESS;
}

/* ---- what MAX looks up when it creates its first context, and fails without ---- */

#define NOT_EMULATED(name) \
  int name(void) {         \
    return NOT_SUPPORTED;  \
  }

NOT_EMULATED(cuCtxEnablePeerAccess)
NOT_EMULATED(cuDeviceGetGraphMemAttribute)
NOT_EMULATED(cuDeviceGetP2PAttribute)
NOT_EMULATED(cuEventElapsedTime)
NOT_EMULATED(cuFuncGetParamInfo)
NOT_EMULATED(cuGraphAddChildGraphNode)
NOT_EMULATED(cuGraphAddEmptyNode)
NOT_EMULATED(cuGraphAddKernelNode)
NOT_EMULATED(cuGraphAddMemcpyNode)
NOT_EMULATED(cuGraphAddMemsetNode)
NOT_EMULATED(cuGraphCreate)
NOT_EMULATED(cuGraphDebugDotPrint)
NOT_EMULATED(cuGraphDestroy)
NOT_EMULATED(cuGraphExecDestroy)
NOT_EMULATED(cuGraphInstantiate)
NOT_EMULATED(cuGraphInstantiateWithFlags)
NOT_EMULATED(cuGraphInstantiateWithParams)
NOT_EMULATED(cuGraphKernelNodeSetAttribute)
NOT_EMULATED(cuGraphLaunch)
NOT_EMULATED(cuMemAddressFree)
NOT_EMULATED(cuMemAddressReserve)
NOT_EMULATED(cuMemCreate)
NOT_EMULATED(cuMemExportToShareableHandle)
NOT_EMULATED(cuMemGetAddressRange_v2)
NOT_EMULATED(cuMemGetAllocationGranularity)
NOT_EMULATED(cuMemGetHandleForAddressRange)
NOT_EMULATED(cuMemHostGetDevicePointer_v2)
NOT_EMULATED(cuMemHostRegister_v2)
NOT_EMULATED(cuMemHostUnregister)
NOT_EMULATED(cuMemMap)
NOT_EMULATED(cuMemPoolSetAccess)
NOT_EMULATED(cuMemPoolTrimTo)
NOT_EMULATED(cuMemRelease)
NOT_EMULATED(cuMemSetAccess)
NOT_EMULATED(cuMemUnmap)
NOT_EMULATED(cuMemcpyBatchAsync)
NOT_EMULATED(cuMemcpyPeer)
NOT_EMULATED(cuMemcpyPeerAsync)
NOT_EMULATED(cuMemsetD2D32Async)
NOT_EMULATED(cuMemsetD2D32_v2)
NOT_EMULATED(cuModuleGetGlobal_v2)
NOT_EMULATED(cuMulticastAddDevice)
NOT_EMULATED(cuMulticastBindMem)
NOT_EMULATED(cuMulticastCreate)
NOT_EMULATED(cuMulticastGetGranularity)
NOT_EMULATED(cuMulticastUnbind)
NOT_EMULATED(cuPointerGetAttributes)
NOT_EMULATED(cuPointerSetAttribute)
NOT_EMULATED(cuStreamBeginCapture)
NOT_EMULATED(cuStreamEndCapture)
NOT_EMULATED(cuStreamGetCaptureInfo_v2)
NOT_EMULATED(cuStreamWaitValue64_v2)
NOT_EMULATED(cuTensorMapEncodeIm2col)
NOT_EMULATED(cuTensorMapEncodeTiled)
