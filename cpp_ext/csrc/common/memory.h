// Fresh outputs of functional ops.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cpp_ext {

// glibc maps every block of 32 MiB and more anew, so its first write pays one page fault each 4 KiB: writing a fresh
// 64 MiB took 18 ms. Asking for 2 MiB pages, where the system leaves that choice to the program
// (transparent_hugepage = madvise), makes it 3 ms. The request may be refused; nothing depends on it.
inline void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHuge = uintptr_t{1} << 21;
  if (bytes < size_t{32} << 20) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHuge - 1) & ~(kHuge - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kHuge - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace cpp_ext
