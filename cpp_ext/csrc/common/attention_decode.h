// Attention of few query rows over a long cache, as in decoding. Reading the cache bounds it, so each row of
// the cache is read once for all heads of its group, and the cache is split over threads (flash-decoding, Dao
// et al. 2023, https://pytorch.org/blog/flash-decoding).
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "common/attention.h"
#include "common/exp2.h"

namespace cpp_ext {

constexpr int kDecodeRows = 8;    // query rows of a key head; more rows take the prefill kernel
constexpr int64_t kPiece = 256;   // the most keys of one task
constexpr int64_t kStretch = 32;  // keys between two updates of the softmax
// Keys of one head that are read before those of the next head. All heads of a key lie side by side, so small
// steps read memory in order: 5.1 ms instead of 9.7 (docs/measurements.md, “Decoding attention”).
constexpr int64_t kStep = 16;

namespace detail {

// Adds the lanes of each of the first kLanes vectors; lane i of the result is the sum of v[i].
template <int kBit = kLanes / 2>
inline Floats sums_of(Floats* v) {
  if constexpr (kBit == 0) {
    return v[0];
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < kBit; ++i) {
      exchange<kBit>(v[i], v[i + kBit], std::make_integer_sequence<int, kLanes>{});
      v[i] += v[i + kBit];
    }
    return sums_of<kBit / 2>(v);
  }
}

}  // namespace detail

// Sums that a register tile holds, leaving as many registers for operands.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSums = 16;
#else
constexpr int kSums = 8;
#endif

// scores[row * kStretch + key] = query row . key for kCount keys, of which `keys` exist. Prefetches the keys
// of the next step into the L2 cache: in L1, rows a page apart would compete for the same few lines.
template <int kRows, int kCount, class T>
inline void score(const float* query, int64_t row, const T* key, int64_t stride, int64_t keys, int64_t dim,
                  float* scores) {
  constexpr int kTotal = (kRows * kCount + kLanes - 1) / kLanes * kLanes;
  const T* k[kCount];
  for (int j = 0; j < kCount; ++j) k[j] = key + std::min<int64_t>(j, keys - 1) * stride;
  Floats product[kRows * kCount] = {};  // not an array whose address is taken: it stays in registers
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    Floats q[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) q[r] = held(load(query + r * row + d));
#pragma GCC unroll 16
    for (int j = 0; j < kCount; ++j) {
      fetch(k[j], d + kStep * stride);
      const Floats x = held(load(k[j] + d));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) product[r * kCount + j] += x * q[r];
    }
  }
  if (d < dim)
#pragma GCC unroll 16
    for (int j = 0; j < kCount; ++j) {
      const Floats x = load_part(k[j] + d, dim - d);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) product[r * kCount + j] += x * load(query + r * row + d);
    }
  Floats sum[kTotal] = {};
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kCount; ++i) sum[i] = product[i];
  float lanes[kTotal];
  for (int i = 0; i < kTotal; i += kLanes) store(lanes + i, detail::sums_of(sum + i));
  for (int r = 0; r < kRows; ++r)
    std::memcpy(scores + r * kStretch, lanes + r * kCount, kCount * sizeof(float));
}

// output row += sum over keys of weight[row][key] value[key] for kVectors vectors of dim.
template <int kRows, int kVectors, class T>
inline void gather(const float* weight, const T* value, int64_t stride, int64_t keys, float* output,
                   int64_t row) {
  Floats sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(output + r * row + v * kLanes);
  for (int64_t j = 0; j < keys; ++j)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const T* at = value + j * stride + v * kLanes;
      fetch(at, kStep * stride);
      const Floats x = held(load(at));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][v] += weight[r * kStretch + j] * x;
    }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(output + r * row + v * kLanes, sum[r][v]);
}

template <int kRows = 1, class F>
inline void with_rows(int64_t rows, const F& f) {
  if constexpr (kRows < kDecodeRows)
    if (rows != kRows) return with_rows<kRows + 1>(rows, f);
  f(std::integral_constant<int, kRows>{});
}

// Result of a task, for one sequence and a piece of its cache, and what is needed to combine it with others.
struct Part {
  float *output, *maximum, *sum;  // [heads * queries][padded dim], [..], [..]
};

template <class T>
class Decode {
 public:
  Decode(const AttentionShape& shape, const T* query, const T* key, const T* value, T* out)
      : shape_(shape), query_(query), key_(key), value_(value), out_(out) {
    padded_ = (shape.dim + kLanes - 1) / kLanes * kLanes;
    rows_ = shape.key_heads * shape.rows();
    first_.resize(shape.batch + 1);
    for (int64_t b = 0; b < shape.batch; ++b)
      first_[b + 1] = first_[b] + (shape.length(b) + kPiece - 1) / kPiece;
    memory_.reset(new float[pieces() * rows_ * (padded_ + 2)]);
  }

  int64_t pieces() const { return first_.back(); }

  // Pieces [begin, end) of all sequences.
  void run(int64_t begin, int64_t end) {
    std::vector<float> query(rows_ * padded_), scores(rows_ * kStretch + kLanes);
    int64_t b = 0, queries_of = -1;
    for (int64_t i = begin; i < end; ++i) {
      while (first_[b + 1] <= i) ++b;
      if (queries_of != b) load_queries(query.data(), b);
      queries_of = b;
      with_rows(shape_.rows(), [&]<int kRows>(std::integral_constant<int, kRows>) {
        read_piece<kRows>(query.data(), scores.data(), b, i - first_[b], part(i));
      });
    }
  }

  // Joins the pieces of a sequence.
  void join(int64_t b) {
    const int64_t pieces = first_[b + 1] - first_[b];
    for (int64_t row = 0; row < rows_; ++row) {
      const int64_t key_head = row / shape_.rows(), r = row % shape_.rows();
      T* out = out_ + shape_.at(b, key_head, r);
      float m = -kInfinity;
      for (int64_t i = 0; i < pieces; ++i) m = std::max(m, part(first_[b] + i).maximum[row]);
      // Zero without any key; NaN where every score is -inf, as the formula gives.
      const bool none = shape_.limit(shape_.length(b), r) == 0;
      const float base = m == -kInfinity && none ? 0.0f : m;
      std::vector<float> factor(pieces);
      float sum = 0.0f;
      for (int64_t i = 0; i < pieces; ++i) {
        const Part p = part(first_[b] + i);
        factor[i] = exp2(splat(p.maximum[row] - base))[0];
        sum += p.sum[row] * factor[i];
      }
      for (int64_t d = 0; d < shape_.dim; d += kLanes) {
        Floats y = {};
        for (int64_t i = 0; i < pieces; ++i)
          y += load(part(first_[b] + i).output + row * padded_ + d) * factor[i];
        store_some(out + d, shape_.dim - d, none ? Floats{} : y / sum);
      }
    }
  }

 private:
  Part part(int64_t i) const {
    float* at = memory_.get() + i * rows_ * (padded_ + 2);
    return {at, at + rows_ * padded_, at + rows_ * (padded_ + 1)};
  }

  void load_queries(float* to, int64_t b) const {
    for (int64_t row = 0; row < rows_; ++row) {
      const T* q = query_ + shape_.at(b, row / shape_.rows(), row % shape_.rows());
      for (int64_t d = 0; d < shape_.dim; d += kLanes)
        store(to + row * padded_ + d, load_some(q + d, shape_.dim - d) * shape_.scale);
    }
  }

  template <int kRows>
  void read_piece(const float* query, float* scores, int64_t b, int64_t piece, const Part& part) {
    constexpr int64_t rows = kRows;
    const int64_t length = shape_.length(b), pieces = first_[b + 1] - first_[b];
    const int64_t size = ((length + pieces - 1) / pieces + kStretch - 1) / kStretch * kStretch;
    const int64_t begin = piece * size, end = std::min(begin + size, length);
    std::memset(part.output, 0, rows_ * padded_ * sizeof(float));
    for (int64_t row = 0; row < rows_; ++row) {
      part.maximum[row] = -kInfinity;
      part.sum[row] = 0.0f;
    }
    for (int64_t t = begin; t < end; t += kStretch) {
      const int64_t keys = std::min(kStretch, end - t);
      for (int64_t j = 0; j < keys; j += kStep)
        for (int64_t key_head = 0; key_head < shape_.key_heads; ++key_head)
          read_keys<kRows>(query + key_head * rows * padded_, address(key_, b, t + j, key_head),
                           std::min(kStep, keys - j), scores + key_head * rows * kStretch + j);
      for (int64_t row = 0; row < rows_; ++row)
        soften(scores + row * kStretch, std::min(keys, shape_.limit(length, row % rows) - t), keys, row,
               part);
      for (int64_t j = 0; j < keys; j += kStep)
        for (int64_t key_head = 0; key_head < shape_.key_heads; ++key_head)
          read_values<kRows>(scores + key_head * rows * kStretch + j, address(value_, b, t + j, key_head),
                             std::min(kStep, keys - j), part.output + key_head * rows * padded_);
    }
  }

  const T* address(const T* cache, int64_t b, int64_t t, int64_t key_head) const {
    return cache + ((b * shape_.keys + t) * shape_.key_heads + key_head) * shape_.dim;
  }

  template <int kRows>
  void read_keys(const float* query, const T* key, int64_t keys, float* scores) const {
    constexpr int kCount = kRows > 4 ? kSums / 8 : kRows > 2 ? kSums / 4 : kSums / kRows;
    const int64_t stride = shape_.key_heads * shape_.dim;
    for (int64_t j = 0; j < keys; j += kCount)
      score<kRows, kCount>(query, padded_, key + j * stride, stride, keys - j, shape_.dim, scores + j);
  }

  template <int kRows>
  void read_values(const float* weight, const T* value, int64_t keys, float* output) const {
    constexpr int kVectors = kRows > 4 ? kSums / 8 : kSums / 4;
    const int64_t stride = shape_.key_heads * shape_.dim, dim = shape_.dim;
    int64_t d = 0;
    for (; d + kVectors * kLanes <= dim; d += kVectors * kLanes)
      gather<kRows, kVectors>(weight, value + d, stride, keys, output + d, padded_);
    for (; d + kLanes <= dim; d += kLanes)
      gather<kRows, 1>(weight, value + d, stride, keys, output + d, padded_);
    if (d < dim) {
      T last[kStep * kLanes] = {};
      for (int64_t j = 0; j < keys; ++j)
        std::memcpy(last + j * kLanes, value + j * stride + d, static_cast<size_t>(dim - d) * sizeof(T));
      gather<kRows, 1>(weight, last, kLanes, keys, output + d, padded_);
    }
  }

  // Turns the scores of a row into weights; the row sees the first `valid` keys. Scales the sums so far to
  // the new maximum.
  void soften(float* s, int64_t valid, int64_t keys, int64_t r, const Part& part) const {
    if (valid <= 0) {
      std::memset(s, 0, keys * sizeof(float));
      return;
    }
    for (int64_t j = valid; j < kStretch; ++j) s[j] = -kInfinity;
    Floats m = splat(-kInfinity);
    for (int64_t j = 0; j < kStretch; j += kLanes) m = larger(load(s + j), m);
    const float top = std::max(part.maximum[r], across(m, larger));
    const float base = top == -kInfinity ? 0.0f : top;
    Floats sum = {};
    for (int64_t j = 0; j < kStretch; j += kLanes) {
      const Floats p = exp2(load(s + j) - base);
      store(s + j, p);
      sum += p;
    }
    if (top != part.maximum[r]) {
      const float rescale = exp2(splat(part.maximum[r] - base))[0];
      part.maximum[r] = top;
      part.sum[r] *= rescale;
      float* output = part.output + r * padded_;
      for (int64_t d = 0; d < padded_; d += kLanes) store(output + d, load(output + d) * rescale);
    }
    part.sum[r] += across(sum, [](Floats a, Floats b) { return a + b; });
  }

  AttentionShape shape_;
  const T *query_, *key_, *value_;
  T* out_;
  int64_t padded_, rows_;
  std::vector<int64_t> first_;  // piece of each sequence
  std::unique_ptr<float[]> memory_;
};

}  // namespace cpp_ext
