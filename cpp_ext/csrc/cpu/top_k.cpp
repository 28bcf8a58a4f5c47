// The k largest elements of the last dimension and their indices, in descending order, of equal ones the
// lower index first; NaN is larger than every number.
//
// A row is read once, in blocks. Of each block only the maximum of each lane is kept. The k-th largest of
// these maxima is a lower bound that at least k elements reach. Only blocks that reach it are read again;
// their candidates, hardly more than k, are ranked by counting.
#include <cstring>

#include "common/checks.h"
#include "common/keys.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/shape.h"

namespace cpp_ext {
namespace {

constexpr int kMaxK = 256;
constexpr int kRoom = 1024;     // candidates
constexpr int kBlock = 8;       // vectors of which one maximum is kept, in rows of more than one chunk
constexpr int kChunk = 256;     // blocks looked at together: 16 kB of maxima with AVX-512
constexpr int kBoundBits = 20;  // leading bits of the bound that are computed

constexpr int64_t kParts = 16;      // of all rows together, where they are few
constexpr int64_t kPart = 1 << 14;  // least elements of a part,
constexpr int64_t kPartPerK = 64;   // and for each of the k, since every part selects k elements

// Cost model of a task, in elements: a task below kGrain stays on one thread; each row costs kRowCost on top
// of its elements, and each of the k results kCost.
constexpr int64_t kGrain = 1 << 16, kRowCost = 512, kCost = 128;

// A lower bound of the k-th largest of m keys, a multiple of the lanes: its `bits` leading bits, the rest
// zero.
int32_t kth_largest(const Ints* keys, int vectors, int k, int bits) {
  uint32_t prefix = 0;
  for (uint32_t bit = 1u << 31; bits > 0; bit >>= 1, --bits) {
    const Ints threshold = splat_int(static_cast<int32_t>((prefix | bit) ^ 0x80000000u) - 1);
    int count = 0;
    for (int v = 0; v < vectors; ++v) count += std::popcount(above(keys[v], threshold));
    if (count >= k) {
      prefix |= bit;
      asm volatile("");  // a branch: GCC 12's conditional move lets the next bit wait for this count
    }
  }
  return static_cast<int32_t>(prefix ^ 0x80000000u);
}

// The exact k-th largest of one vector: each lane counts the lanes above it.
int32_t kth_largest_lane(Ints keys, int k) {
  int32_t lane[kLanes];
  std::memcpy(lane, &keys, sizeof lane);
  Ints predecessors{};
#pragma GCC unroll 16
  for (int j = 0; j < kLanes; ++j) predecessors = count_above(predecessors, splat_int(lane[j]), keys);
  return lowest_of(splat_int(k) > predecessors ? keys : splat_int(kHighest));
}

// Candidates for the k largest, in the order of their indices.
struct Candidates {
  int k;
  int count = 0;
  int32_t bound = kLowest;  // at least k elements are above it, so elements up to it cannot be results
  alignas(64) int32_t key[kRoom + kLanes];
  alignas(64) int32_t index[kRoom + kLanes];
  int32_t sorted[kRoom + kLanes];

  explicit Candidates(int k) : k(k) {}

  void add(Ints keys, Ints indices, Mask mask) {
    compress(key + count, keys, mask);
    compress(index + count, indices, mask);
    count += std::popcount(mask);
    if (count > kRoom - kLanes) prune();
  }

  // Adds the candidates of a whole block at x, whose first index is `first`. The block is compared as a whole
  // first, so only vectors with candidates cost a branch that depends on the values.
  template <class T>
  void add_block(const T* x, int32_t first) {
    if (count > kRoom - kBlock * kLanes) prune();
    const Ints least = splat_int(bound);
    Ints keys[kBlock];
    uint32_t hit = 0;
#pragma GCC unroll 8
    for (int v = 0; v < kBlock; ++v) {
      keys[v] = keys_of(load(x + v * kLanes));
      hit |= uint32_t{above(keys[v], least) != 0} << v;
    }
    int to = count;
    for (; hit; hit &= hit - 1) {
      const int v = std::countr_zero(hit);
      const Mask mask = above(keys[v], least);
      compress(key + to, keys[v], mask);
      compress(index + to, lane_numbers() + splat_int(first + v * kLanes), mask);
      to += std::popcount(mask);
    }
    count = to;
  }

  // The same where all elements fit: no branch depends on the values, and `count` stays in a register.
  void add_all(const Ints* keys, int vectors, int32_t first) {
    int to = count;
    Ints indices = lane_numbers() + splat_int(first);
    for (int v = 0; v < vectors; ++v, indices += kLanes) {
      const Mask mask = above(keys[v], splat_int(bound));
      compress(key + to, keys[v], mask);
      compress(index + to, indices, mask);
      to += std::popcount(mask);
    }
    count = to;
  }

  // Fills the last vector with what is below every key.
  int pad() {
    const Ints below = splat_int(kLowest + 1);
    std::memcpy(key + count, &below, sizeof below);
    return (count + kLanes - 1) / kLanes;
  }

  // Keeps k candidates. Among those equal to the k-th the first ones stay; later ones are not added again.
  void prune() {
    if (count <= k) return;
    const int vectors = pad();
    const auto* keys = reinterpret_cast<const Ints*>(key);
    const int32_t kth = kth_largest(keys, vectors, k, 32);
    int larger = 0;
    for (int v = 0; v < vectors; ++v) larger += std::popcount(above(keys[v], splat_int(kth)));
    int equals = k - larger, survivors = 0;
    for (int v = 0; v < vectors; ++v) {
      const Ints k0 = read<Ints>(key + v * kLanes), i0 = read<Ints>(index + v * kLanes);
      Mask mask = above(k0, splat_int(kth - 1));
      Mask equal = mask & ~above(k0, splat_int(kth));
      mask &= ~equal;
      for (; equal && equals > 0; equal &= equal - 1, --equals) mask |= equal & -equal;
      compress(key + survivors, k0, mask);
      compress(index + survivors, i0, mask);
      survivors += std::popcount(mask);
    }
    count = k;
    bound = kth;
  }

  // The indices in descending order, at least k. The rank of a candidate is the number of those before it.
  // Counts whole vectors: a loop up to `count` would end in a branch misprediction.
  const int32_t* sort() {
    if (count > k + k / 8 + kLanes) prune();
    const int vectors = pad();
    const Ints lanes = lane_numbers();
    for (int v = 0; v < vectors; ++v) {
      const int32_t* vector_keys = key + v * kLanes;
      const Ints keys = read<Ints>(vector_keys), equal_too = keys - 1;
      Ints predecessors{};
      for (int j = 0; j < v * kLanes; ++j)
        predecessors = count_above(predecessors, splat_int(key[j]), equal_too);
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j)
        predecessors = count_above(predecessors, splat_int(vector_keys[j]), keys + (lanes > splat_int(j)));
      for (int j = (v + 1) * kLanes; j < vectors * kLanes; ++j)
        predecessors = count_above(predecessors, splat_int(key[j]), keys);
      int32_t rank[kLanes];
      std::memcpy(rank, &predecessors, sizeof predecessors);
#pragma GCC unroll 16
      for (int j = 0; j < kLanes; ++j) sorted[rank[j]] = index[v * kLanes + j];
    }
    return sorted;
  }
};

template <class T>
inline Ints keys_at(const T* x, int64_t n) {
  if (n >= kLanes) return keys_of(load(x));
  return lane_numbers() < splat_int(static_cast<int32_t>(n)) ? keys_of(load_part(x, n)) : splat_int(kLowest);
}

// The largest element of each lane of a whole block.
template <class T>
inline Ints block_maxima(const T* x) {
  Floats top[kBlock], sum[kBlock];
#pragma GCC unroll 8
  for (int i = 0; i < kBlock; ++i) top[i] = sum[i] = load(x + i * kLanes);
#pragma GCC unroll 3
  for (int width = kBlock / 2; width > 0; width /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < width; ++i) {
      top[i] = larger(top[i], top[i + width]);
      sum[i] += sum[i + width];
    }
  // A NaN, which larger() may drop, shows in the sum. So do infinities of both signs, hence another look.
  if (has_nan(sum[0])) [[unlikely]] {
    Ints keys = keys_of(load(x));
    for (int i = 1; i < kBlock; ++i) keys = larger(keys, keys_of(load(x + i * kLanes)));
    return keys;
  }
  return keys_of(top[0]);
}

// At least k elements are above the result: each group of blocks has an element as large as its maximum.
int32_t bound_of(const Ints* maxima, int vectors, int k) {
  Ints groups[2 * kMaxK / 4];
  const int group_limit = (2 * k + kLanes - 1) / kLanes, n = std::min(vectors, group_limit);
  for (int i = 0; i < n; ++i) {
    Ints group = maxima[i];
    for (int v = i + n; v < vectors; v += n) group = larger(group, maxima[v]);
    groups[i] = group;
  }
  const int32_t kth = n == 1 ? kth_largest_lane(groups[0], k) : kth_largest(groups, n, k, kBoundBits);
  return kth == kLowest ? kth : kth - 1;
}

int count_of(const Ints* maxima, int vectors, int32_t bound) {
  int count = 0;
  for (int v = 0; v < vectors; ++v) count += std::popcount(above(maxima[v], splat_int(bound)));
  return count;
}

// A row, or a part of it, of at most a chunk of vectors.
template <class T>
void scan_short(const T* x, int64_t n, int32_t first, Candidates& candidates) {
  Ints keys[kChunk];
  const int vectors = static_cast<int>((n + kLanes - 1) / kLanes);
  for (int v = 0; v < vectors; ++v) keys[v] = keys_at(x + v * kLanes, n - v * kLanes);
  if (vectors * kLanes >= 2 * candidates.k)
    candidates.bound = std::max(candidates.bound, bound_of(keys, vectors, candidates.k));
  if (kCompress && candidates.count + vectors * kLanes <= kRoom) {
    candidates.add_all(keys, vectors, first);
    return;
  }
  for (int v = 0; v < vectors; ++v)
    if (const Mask mask = above(keys[v], splat_int(candidates.bound)))
      candidates.add(keys[v], lane_numbers() + splat_int(first + v * kLanes), mask);
}

template <class T>
void scan(const T* x, int64_t n, int64_t first, Candidates& candidates) {
  Ints maxima[kChunk];
  int64_t begin = 0;
  while (n - begin > kChunk * kLanes) {
    const int blocks = static_cast<int>(std::min<int64_t>(kChunk, (n - begin) / (kBlock * kLanes)));
    for (int b = 0; b < blocks; ++b) maxima[b] = block_maxima(x + begin + b * kBlock * kLanes);
    candidates.prune();
    if (candidates.count < candidates.k || count_of(maxima, blocks, candidates.bound) > 2 * candidates.k)
      candidates.bound = std::max(candidates.bound, bound_of(maxima, blocks, candidates.k));
    for (int b = 0; b < blocks; ++b)
      if (above(maxima[b], splat_int(candidates.bound))) {
        const int64_t at = begin + int64_t{b} * kBlock * kLanes;
        candidates.add_block(x + at, static_cast<int32_t>(first + at));
      }
    begin += static_cast<int64_t>(blocks) * kBlock * kLanes;
  }
  if (begin > 0) candidates.prune();
  if (begin < n) scan_short(x + begin, n - begin, static_cast<int32_t>(first + begin), candidates);
}

template <class T>
void write(const T* x, Candidates& candidates, T* values, int64_t* indices) {
  const int32_t* sorted = candidates.sort();
  for (int i = 0; i < candidates.k; ++i) {
    const auto index = static_cast<int64_t>(static_cast<uint32_t>(sorted[i]));
    indices[i] = index;
    values[i] = x[index];
  }
}

// The k largest of a part of a row, in the order of the indices.
struct Part {
  int32_t key[kMaxK + kLanes], index[kMaxK + kLanes];
};

// Few long rows: each is split over threads, and the results of the parts are candidates again.
template <class T>
void top_k_in_parts(const T* x, T* values, int64_t* indices, int64_t rows, int64_t n, int k, int64_t parts) {
  Part part[kParts];
  parallel_for(rows * parts, 1, [&, k](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / parts, first = i % parts * n / parts, last = (i % parts + 1) * n / parts;
      Candidates candidates(k);
      scan(x + row * n + first, last - first, first, candidates);
      candidates.prune();
      std::copy(candidates.key, candidates.key + k, part[i].key);
      std::copy(candidates.index, candidates.index + k, part[i].index);
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    Candidates candidates(k);
    for (int64_t p = row * parts; p < (row + 1) * parts; ++p)
      for (int i = 0; i < k; i += kLanes) {
        const Ints keys = read<Ints>(part[p].key + i), lanes = lane_numbers();
        const Mask mask = above(keys, splat_int(candidates.bound)) & above(splat_int(k - i), lanes);
        if (mask) candidates.add(keys, read<Ints>(part[p].index + i), mask);
      }
    write(x + row * n, candidates, values + row * k, indices + row * k);
  }
}

template <class T>
void top_k(const T* x, T* values, int64_t* indices, int64_t rows, int64_t n, int k) {
  const int64_t part = kPart + kPartPerK * k;
  if (2 * rows <= kParts && n >= 2 * part) {
    top_k_in_parts(x, values, indices, rows, n, k, std::min(kParts / rows, n / part));
    return;
  }
  parallel_for(rows, std::max<int64_t>(1, kGrain / (n + kRowCost + kCost * k)),
               [=](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   Candidates candidates(k);
                   scan(x + row * n, n, 0, candidates);
                   write(x + row * n, candidates, values + row * k, indices + row * k);
                 }
               });
}

// ---- binding ----

void check(const Args& args) {
  const View& x = args.in[0];
  require_float(args, 0);
  if (x.rank < 1) fail_rank(args, 0, "at least 1");
  const int64_t k = args.scalars[0].integer, n = x.sizes[x.rank - 1];
  if (k < 1 || k > kMaxK || k > n)
    fail(args.op, "k",
         "is " + std::to_string(k) + ", expected 1 to " + std::to_string(kMaxK) + " and at most " +
             std::to_string(n) + ", the last dimension of x");
  if (n > int64_t{std::numeric_limits<uint32_t>::max()}) fail_shape(args, 0, "a last dimension below 2^32");
}

void shape(const Args& args, Dims& dims) {
  add_leading_sizes(dims, args, 0);
  add_size(dims, args.scalars[0].integer);
}

void run(const Args& args) {
  const View& x = args.in[0];
  const int64_t n = x.sizes[x.rank - 1];
  with_float_type(x.dtype, [&]<class T>(T*) {
    top_k(x.as<T>(), args.out[0].as<T>(), args.out[1].as<int64_t>(), x.numel / n, n,
          static_cast<int>(args.scalars[0].integer));
  });
}

constexpr const char* kShape = "the shape of x with k as its last dimension";

}  // namespace

constinit Op top_k_op{
    .name = "top_k",
    .schema = "(Tensor x, int k) -> (Tensor, Tensor)",
    .check = check,
    .outputs = {{.name = "values", .like = 0, .shape = shape, .shape_words = kShape},
                {.name = "indices", .like = 0, .shape = shape, .shape_words = kShape, .dtype = DType::i64}}};
static const DefineWithCpu<top_k_op, run> top_k_cpu;

}  // namespace cpp_ext
