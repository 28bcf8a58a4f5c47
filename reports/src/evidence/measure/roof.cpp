// The fastest way to move memory that this machine has: plain passes over arrays with whole vector registers,
// on one or all cores, stores ordinary or streaming (past the caches, without reading the line first). No
// call, no fork and no join inside the time: every thread passes over its own part again and again. A kernel
// that must move the same bytes in the same working set cannot be faster; the data are integers, so that no
// arithmetic is in the way.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

typedef uint64_t Vector __attribute__((vector_size(64)));
constexpr size_t kPage = size_t(1) << 21;

#if defined(__AVX512F__)
void stream(Vector* to, Vector value) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)value);
}
constexpr bool kStreams = true;
#elif defined(__AVX2__)
void stream(Vector* to, Vector value) {
  const __m256i* halves = reinterpret_cast<const __m256i*>(&value);
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), halves[0]);
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to) + 1, halves[1]);
}
constexpr bool kStreams = true;
#else
void stream(Vector* to, Vector value) {
  *to = value;
}
constexpr bool kStreams = false;
#endif

template <int Reads, bool Streaming>
void pass(const Vector* in, Vector* out, size_t count, size_t stride) {
  for (size_t i = 0; i < count; ++i) {
    Vector value = in[i];
    if constexpr (Reads > 1) value ^= in[i + stride];
    if constexpr (Reads > 2) value ^= in[i + 2 * stride];
    if constexpr (Streaming) {
      stream(out + i, value);
    } else {
      out[i] = value;
    }
  }
}

using Pass = void (*)(const Vector*, Vector*, size_t, size_t);

Pass choose(int reads, bool streaming) {
  if (streaming) return reads == 1 ? pass<1, true> : reads == 2 ? pass<2, true> : pass<3, true>;
  return reads == 1 ? pass<1, false> : reads == 2 ? pass<2, false> : pass<3, false>;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double once(Pass run, const Vector* in, Vector* out, size_t count, size_t stride, int threads, int passes) {
  std::atomic<int> ready{0};
  std::vector<double> begin(threads), end(threads);
  auto work = [&](int t) {
    const size_t from = count * t / threads, to = count * (t + 1) / threads;
    ++ready;
    while (ready < threads) {
    }
    begin[t] = now();
    for (int p = 0; p < passes; ++p) {
      run(in + from, out + from, to - from, stride);
      asm volatile("" ::: "memory");
    }
#if defined(__x86_64__)
    _mm_sfence();
#endif
    end[t] = now();
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
  work(0);
  for (auto& other : others) other.join();
  return *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
}

}  // namespace

// Bytes a second, the best of `repeats`, or 0 where the machine has no streaming stores; -1 without memory.
// `bytes` is the whole working set: `reads` arrays that are read and one that is written.
extern "C" double roof_rate(int reads, int streaming, int threads, size_t bytes, int repeats,
                            double seconds) {
  if (streaming && !kStreams) return 0;
  const size_t count = std::max<size_t>(bytes / (reads + 1) / sizeof(Vector), threads);
  // Arrays a page and some lines apart: equal low address bits would make loads wait for unrelated stores.
  const size_t stride = count + 9;
  const size_t whole = ((reads + 1) * stride * sizeof(Vector) + kPage) / kPage * kPage;
  auto* memory = static_cast<Vector*>(std::aligned_alloc(kPage, whole));
  if (memory == nullptr) return -1;
#if defined(__linux__)
  madvise(memory, whole, MADV_HUGEPAGE);
#endif
  std::fill_n(reinterpret_cast<uint64_t*>(memory), whole / sizeof(uint64_t), 1);
  const Pass run = choose(reads, streaming);
  const size_t moved = (reads + 1) * count * sizeof(Vector);
  const double first = once(run, memory, memory + reads * stride, count, stride, threads, 1);
  const int passes = static_cast<int>(std::clamp(seconds / std::max(first, 1e-7), 1.0, 1e6));
  double best = 0;
  for (int r = 0; r < repeats; ++r) {
    const double spent = once(run, memory, memory + reads * stride, count, stride, threads, passes);
    best = std::max(best, static_cast<double>(moved) * passes / spent);
  }
  std::free(memory);
  return best;
}
