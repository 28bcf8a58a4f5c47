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

// Seconds from the first thread's begin to the last one's end of `part(thread)`, all begun together.
template <typename Part>
double together(int threads, const Part& part) {
  std::atomic<int> ready{0};
  std::vector<double> begin(threads), end(threads);
  auto work = [&](int t) {
    ++ready;
    while (ready < threads) {
    }
    begin[t] = now();
    part(t);
    end[t] = now();
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
  work(0);
  for (auto& other : others) other.join();
  return *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
}

double once(Pass run, const Vector* in, Vector* out, size_t count, size_t stride, int threads, int passes) {
  return together(threads, [&](int t) {
    const size_t from = count * t / threads, to = count * (t + 1) / threads;
    for (int p = 0; p < passes; ++p) {
      run(in + from, out + from, to - from, stride);
      asm volatile("" ::: "memory");
    }
#if defined(__x86_64__)
    _mm_sfence();
#endif
  });
}

#if defined(__AVX512F__)
constexpr int kRegister = 64;
#elif defined(__AVX__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif
// The value may have changed, as far as the compiler knows: it cannot work a loop out in advance.
#if defined(__x86_64__)
#define KEEP(value) asm volatile("" : "+v"(value))
#elif defined(__aarch64__)
#define KEEP(value) asm volatile("" : "+w"(value))
#else
#define KEEP(value) asm volatile("" : "+m"(value))
#endif
typedef float Floats __attribute__((vector_size(kRegister)));
constexpr int kLanes = kRegister / sizeof(float);
constexpr int kChains = 12;  // more than latency times units, 4 x 2 or 5 x 2, and few enough for AVX2's 16 registers

// Multiplications and additions that wait for nothing but their own chain, in registers alone.
void chains(int64_t steps) {
  Floats sum[kChains], factor, summand;
  for (int lane = 0; lane < kLanes; ++lane) factor[lane] = 0.999f, summand[lane] = 0.001f;
  for (int c = 0; c < kChains; ++c) sum[c] = summand * static_cast<float>(c + 1);
  for (int64_t step = 0; step < steps; ++step) {
    for (int c = 0; c < kChains; ++c) sum[c] = sum[c] * factor + summand;
    KEEP(factor);
    KEEP(summand);
  }
  for (int c = 1; c < kChains; ++c) sum[0] += sum[c];
  KEEP(sum[0]);
}

}  // namespace

// Floating point operations a second in float32, the best of `repeats`: what fused multiplication and addition in
// whole registers reach. MKL's products stay at half of it on AMD processors with AVX-512, of which they use AVX2.
extern "C" double roof_flops(int threads, int repeats, double seconds) {
  int64_t steps = 1 << 14;
  const double first = together(threads, [&](int) { chains(steps); });
  steps = std::max<int64_t>(steps, static_cast<int64_t>(steps * seconds / std::max(first, 1e-7)));
  double best = 0;
  for (int r = 0; r < repeats; ++r) {
    const double spent = together(threads, [&](int) { chains(steps); });
    best = std::max(best, 2.0 * kLanes * kChains * static_cast<double>(steps) * threads / spent);
  }
  return best;
}

// Bytes a second of each of the `repeats`, into `rates`; false where the machine has no streaming stores or
// no memory. `bytes` is the whole working set: `reads` arrays that are read and one that is written.
extern "C" bool roof_rates(int reads, int streaming, int threads, size_t bytes, int repeats, double seconds,
                           double* rates) {
  if (streaming && !kStreams) return false;
  const size_t count = std::max<size_t>(bytes / (reads + 1) / sizeof(Vector), threads);
  // Arrays a page and some lines apart: equal low address bits would make loads wait for unrelated stores.
  const size_t stride = count + 9;
  const size_t whole = ((reads + 1) * stride * sizeof(Vector) + kPage) / kPage * kPage;
  auto* memory = static_cast<Vector*>(std::aligned_alloc(kPage, whole));
  if (memory == nullptr) return false;
#if defined(__linux__)
  madvise(memory, whole, MADV_HUGEPAGE);
#endif
  std::fill_n(reinterpret_cast<uint64_t*>(memory), whole / sizeof(uint64_t), 1);
  const Pass run = choose(reads, streaming);
  const size_t moved = (reads + 1) * count * sizeof(Vector);
  const double first = once(run, memory, memory + reads * stride, count, stride, threads, 1);
  const int passes = static_cast<int>(std::clamp(seconds / std::max(first, 1e-7), 1.0, 1e6));
  for (int r = 0; r < repeats; ++r) {
    const double spent = once(run, memory, memory + reads * stride, count, stride, threads, passes);
    rates[r] = static_cast<double>(moved) * passes / spent;
  }
  std::free(memory);
  return true;
}
