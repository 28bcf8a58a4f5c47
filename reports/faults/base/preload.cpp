// Loaded before everything else where a sanitizer watches, so that it sees as much of the op as can be seen.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

#define SHOWN extern "C" __attribute__((visibility("default")))

// Mojo's List and alloc take memory from an allocator of Mojo's run-time library, which no sanitizer knows.
SHOWN void* KGEN_CompilerRT_AlignedAlloc(size_t alignment, size_t size) {
  void* memory = nullptr;
  return posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size) ? nullptr : memory;
}
SHOWN void KGEN_CompilerRT_AlignedFree(void* memory) { free(memory); }

#if defined(__SANITIZE_THREAD__)

// PyTorch's own pool is not built with ThreadSanitizer, so its hand-overs would be taken for races. This one splits the
// work over two threads that ThreadSanitizer knows.
SHOWN int32_t torch_parallel_for(int64_t begin, int64_t end, int64_t grain, void (*f)(int64_t, int64_t, void*),
                                 void* context) {
  if (end - begin <= grain) {
    f(begin, end, context);
    return 0;
  }
  const int64_t middle = begin + (end - begin) / 2;
  std::thread other(f, begin, middle, context);
  f(middle, end, context);
  other.join();
  return 0;
}

// What newer LLVM calls and the run-time library of GCC 12 lacks.
SHOWN void* __tsan_memset(void* to, int value, size_t size) { return std::memset(to, value, size); }
SHOWN void* __tsan_memcpy(void* to, const void* from, size_t size) { return std::memcpy(to, from, size); }
SHOWN void* __tsan_memmove(void* to, const void* from, size_t size) { return std::memmove(to, from, size); }

#endif
