// Attention of many query rows over blocks of keys with the online softmax (Dao et al. 2022,
// arXiv:2205.14135, algorithm 1). The lanes of a vector are query rows throughout. Maxima and sums of the
// softmax are then vertical operations, and keys and values are broadcast one element at a time, so neither
// is transposed.
#pragma once

#include <cstring>
#include <memory>
#include <new>

#include "common/attention.h"
#include "common/exp2.h"

namespace cpp_ext {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTile = 8;  // 8 x 3 sums, 3 vectors and a broadcast in 32 registers
#else
constexpr int kTile = 4;  // 4 x 3 sums, 3 vectors and a broadcast in 16 registers
#endif
constexpr int kWide = 3;
constexpr int kPanel = kWide * kLanes;  // rows side by side
constexpr int kPanels = 4;              // rows that share one copy of a block of keys and values
constexpr int kKeys = 64;               // keys in a block; 64 x 48 scores stay in the first cache

inline int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

// Products of float32. A unit is the part of an operand in one lane; it has kUnit elements.
struct FloatProducts {
  using Unit = float;
  static constexpr int kUnit = 1;
  static void add(Floats& sum, Unit a, Floats b) { sum += splat(a) * b; }
  template <class T>
  static Floats load_units(const T* p, int64_t n) {
    return load_some(p, n);
  }
  // Converts a row of keys, or the same elements of two rows of values, into units.
  template <class T>
  static void copy_row(const T* p, int64_t n, Unit* to) {
    for (int64_t i = 0; i < n; i += kLanes) store_some(to + i, n - i, load_some(p + i, n - i));
  }
  template <class T>
  static void copy_values(const T* p, const T*, int64_t n, Unit* to) {
    copy_row(p, n, to);
  }
  static Floats weights(const Floats* p) { return p[0]; }
};

#if defined(__AVX512BF16__) && defined(__AVX512F__) && defined(__AVX512BW__)
#define CPP_EXT_BF16_PRODUCTS
// Pairs of bfloat16, multiplied exactly and added in float32, at twice the rate of FloatProducts. The weights
// are rounded to bfloat16, as in PyTorch's flash kernel.
struct PairProducts {
  using Unit = uint32_t;
  static constexpr int kUnit = 2;
  static void add(Floats& sum, Unit a, Floats b) {
    sum = bits_as<Floats>(
        _mm512_dpbf16_ps(bits_as<__m512>(sum), bits_as<__m512bh>(a - Words{}), bits_as<__m512bh>(b)));
  }
  static Floats load_units(const BF16* p, int64_t n) {
    if (n >= 2 * kLanes) return read<Floats>(p);
    BF16 lanes[2 * kLanes] = {};
    std::memcpy(lanes, p, static_cast<size_t>(n) * sizeof(BF16));
    return read<Floats>(lanes);
  }
  static void copy_row(const BF16* p, int64_t n, Unit* to) {
    to[n / 2] = 0;  // the other half of an odd row's last pair; a row has room for it
    std::memcpy(to, p, static_cast<size_t>(n) * sizeof(BF16));
  }
  static void copy_values(const BF16* even, const BF16* odd, int64_t n, Unit* to) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      const Words pairs = widen(read<Halves>(even + i)) | widen(read<Halves>(odd + i)) << 16;
      std::memcpy(to + i, &pairs, sizeof pairs);
    }
    for (; i < n; ++i) to[i] = even[i].bits | static_cast<uint32_t>(odd[i].bits) << 16;
  }
  static Floats weights(const Floats* p) {
    return bits_as<Floats>(widen(float_to_bf16(p[0])) | widen(float_to_bf16(p[1])) << 16);
  }
};
#endif

// c[j][rows] = start + sum over k of a(j, k) b[k][rows] for kTile values of j. With kRows, a(j, k) is at
// a[j * stride + k], else at a[j + k * stride].
template <class Products, int kVectors, bool kRows, class Start>
inline void tile(const typename Products::Unit* a, int64_t stride, const Floats* b, int64_t depth, Floats* c,
                 const Start& start) {
  Floats sum[kTile][kVectors];
#pragma GCC unroll 8
  for (int j = 0; j < kTile; ++j)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sum[j][v] = start(j, v);
  for (int64_t k = 0; k < depth; ++k) {
    Floats x[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) x[v] = held(b[k * kWide + v]);
#pragma GCC unroll 8
    for (int j = 0; j < kTile; ++j)
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v)
        Products::add(sum[j][v], a[kRows ? j * stride + k : j + k * stride], x[v]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kTile; ++j)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) c[j * kWide + v] = sum[j][v];
}

// State of up to kPanel rows between two blocks of keys.
struct Panel {
  Floats* query;   // [units][kWide]
  Floats* output;  // [dim rounded up to tiles][kWide]
  Floats maximum[kWide], sum[kWide];
  Ints limit[kWide];
  int64_t least, most;  // of the limits
  int vectors;          // with rows in them
};

template <class Products>
struct KeyBlock {
  int64_t first, keys;  // `keys` and the next ones up to a multiple of kTile are in memory
  const typename Products::Unit *key, *value;
  int64_t units, columns;  // of a row of `key` and of `value`
};

// Turns the scores s[key][kWide] into weights exp2(s - maximum), in units of Products. `rescale` gets the
// factor for the sums so far.
template <class Products>
inline void soften(Panel& panel, int v, Floats* s, int64_t first, int64_t keys, float scale,
                   Floats& rescale) {
  Floats m = panel.maximum[v];
  for (int64_t j = 0; j < keys; ++j) {
    Floats x = s[j * kWide + v] * scale;
    if (first + j >= panel.least) {
      const Ints key = static_cast<int32_t>(first + j) - Ints{};
      x = key < panel.limit[v] ? x : splat(-kInfinity);
    }
    s[j * kWide + v] = x;
    m = larger(x, m);  // passes over NaN, which comes back with the weights
  }
  const Floats base = m == splat(-kInfinity) ? Floats{} : m;
  rescale = exp2(panel.maximum[v] - base);
  Floats sum = panel.sum[v] * rescale;
  for (int64_t j = 0; j < keys; j += Products::kUnit) {
    Floats p[Products::kUnit];
#pragma GCC unroll 2
    for (int u = 0; u < Products::kUnit; ++u) {
      p[u] = exp2(s[(j + u) * kWide + v] - base);
      sum += p[u];
    }
    s[j / Products::kUnit * kWide + v] = Products::weights(p);
  }
  panel.maximum[v] = m;
  panel.sum[v] = sum;
}

template <class Products, int kVectors>
void attend(Panel& panel, const KeyBlock<Products>& block, Floats* s, float scale) {
  const int64_t keys = round_up(std::min(block.keys, panel.most - block.first), kTile);
  for (int64_t j = 0; j < keys; j += kTile)
    tile<Products, kVectors, true>(block.key + j * block.units, block.units, panel.query, block.units,
                                   s + j * kWide, [](int, int) { return Floats{}; });
  Floats rescale[kVectors];
  for (int v = 0; v < kVectors; ++v) soften<Products>(panel, v, s, block.first, keys, scale, rescale[v]);
  for (int64_t d = 0; d < block.columns; d += kTile) {
    Floats* output = panel.output + d * kWide;
    tile<Products, kVectors, false>(block.value + d, block.columns, s, keys / Products::kUnit, output,
                                    [&](int j, int v) { return output[j * kWide + v] * rescale[v]; });
  }
}

// Working memory of one thread, in one allocation: a block of keys and values, and its panels.
template <class Products, class T>
class Prefill {
  using Unit = typename Products::Unit;

 public:
  Prefill(const AttentionShape& shape, const T* query, const T* key, const T* value, T* out)
      : shape_(shape), query_(query), key_(key), value_(value), out_(out) {
    units_ = (shape.dim + Products::kUnit - 1) / Products::kUnit;
    columns_ = round_up(shape.dim, kTile);
    const int64_t panel = (units_ + kLanes + columns_) * kWide, scores = kKeys * kWide;
    const int64_t keys = (kKeys * units_ + kLanes) / kLanes + 1,
                  values = kKeys / Products::kUnit * columns_ / kLanes + 1;
    memory_.reset(new (std::align_val_t(64)) Floats[kPanels * panel + scores + keys + values]);
    Floats* at = memory_.get();
    for (Panel& p : panels_) {
      p.query = at;
      p.output = at + (units_ + kLanes) * kWide;
      at += panel;
    }
    scores_ = at;
    key_block_ = reinterpret_cast<Unit*>(at + scores);
    value_block_ = reinterpret_cast<Unit*>(at + scores + keys);
    std::memset(static_cast<void*>(key_block_), 0, (keys + values) * sizeof(Floats));
  }

  // Up to `count` panels of a key head.
  void run(int64_t b, int64_t key_head, int64_t panel, int64_t count) {
    const int64_t length = shape_.length(b), first = panel * kPanel;
    int panels = 0;
    int64_t most = 0;
    for (int64_t row = first; row < shape_.rows() && panels < count; row += kPanel, ++panels) {
      open(panels_[panels], b, key_head, row, length);
      most = std::max(most, panels_[panels].most);
    }
    for (int64_t j = 0; j < most; j += kKeys) {
      const auto block = copy(b, key_head, j, std::min<int64_t>(kKeys, most - j));
      for (int i = 0; i < panels; ++i) {
        Panel& panel = panels_[i];
        if (j >= panel.most) continue;
        if (panel.vectors == 3)
          attend<Products, 3>(panel, block, scores_, shape_.scale);
        else if (panel.vectors == 2)
          attend<Products, 2>(panel, block, scores_, shape_.scale);
        else
          attend<Products, 1>(panel, block, scores_, shape_.scale);
      }
    }
    for (int i = 0; i < panels; ++i) close(panels_[i], b, key_head, first + i * kPanel);
  }

 private:
  void open(Panel& panel, int64_t b, int64_t key_head, int64_t row, int64_t length) {
    const int64_t rows = std::min<int64_t>(kPanel, shape_.rows() - row);
    panel.vectors = static_cast<int>((rows + kLanes - 1) / kLanes);
    panel.least = shape_.limit(length, row);
    panel.most = shape_.limit(length, row + rows - 1);
    std::memset(static_cast<void*>(panel.output), 0, columns_ * kWide * sizeof(Floats));
    for (int v = 0; v < panel.vectors; ++v) {
      panel.maximum[v] = splat(-kInfinity);
      panel.sum[v] = Floats{};
      for (int i = 0; i < kLanes; ++i)
        panel.limit[v][i] =
            static_cast<int32_t>(shape_.limit(length, std::min(row + v * kLanes + i, row + rows - 1)));
      for (int64_t u = 0; u < units_; u += kLanes) {
        Floats x[kLanes] = {};
        const int64_t d = u * Products::kUnit;
        for (int i = 0; i < kLanes && v * kLanes + i < rows; ++i)
          x[i] =
              Products::load_units(query_ + shape_.at(b, key_head, row + v * kLanes + i) + d, shape_.dim - d);
        transpose(x);
        for (int i = 0; i < kLanes; ++i) panel.query[(u + i) * kWide + v] = x[i];
      }
    }
  }

  KeyBlock<Products> copy(int64_t b, int64_t key_head, int64_t first, int64_t keys) {
    const int64_t stride = shape_.key_heads * shape_.dim, dim = shape_.dim;
    const int64_t start = (b * shape_.keys + first) * stride + key_head * dim;
    const T *key = key_ + start, *value = value_ + start;
    for (int64_t j = 0; j < keys; ++j) Products::copy_row(key + j * stride, dim, key_block_ + j * units_);
    for (int64_t j = 0; j < keys; j += Products::kUnit)
      Products::copy_values(value + j * stride, value + std::min(j + Products::kUnit - 1, keys - 1) * stride,
                            dim, value_block_ + j / Products::kUnit * columns_);
    const int64_t padded = round_up(keys, kTile);  // what is behind them must be finite
    std::memset(static_cast<void*>(key_block_ + keys * units_), 0, (padded - keys) * units_ * sizeof(Unit));
    const int64_t rows = (keys + Products::kUnit - 1) / Products::kUnit;
    std::memset(static_cast<void*>(value_block_ + rows * columns_), 0,
                (padded / Products::kUnit - rows) * columns_ * sizeof(Unit));
    return {first, keys, key_block_, value_block_, units_, columns_};
  }

  void close(const Panel& panel, int64_t b, int64_t key_head, int64_t row) {
    const int64_t rows = std::min<int64_t>(kPanel, shape_.rows() - row);
    for (int v = 0; v < panel.vectors; ++v) {
      // Zero without any key; NaN where every score is -inf, as the formula gives.
      const Floats m = panel.maximum[v];
      Floats inverse = m == splat(-kInfinity) ? splat(__builtin_nanf("")) : 1.0f / panel.sum[v];
      const auto none = panel.limit[v] == Ints{};
      for (int64_t d = 0; d < shape_.dim; d += kLanes) {
        Floats x[kLanes];
        for (int i = 0; i < kLanes; ++i) {
          const Floats y = d + i < shape_.dim ? panel.output[(d + i) * kWide + v] * inverse : Floats{};
          x[i] = none ? Floats{} : y;
        }
        transpose(x);
        for (int i = 0; i < kLanes && v * kLanes + i < rows; ++i)
          store_some(out_ + shape_.at(b, key_head, row + v * kLanes + i) + d, shape_.dim - d, x[i]);
      }
    }
  }

  struct Free {
    void operator()(Floats* p) const { operator delete[](p, std::align_val_t(64)); }
  };

  AttentionShape shape_;
  const T *query_, *key_, *value_;
  T* out_;
  int64_t units_, columns_;
  Panel panels_[kPanels];
  Floats* scores_;
  Unit *key_block_, *value_block_;
  std::unique_ptr<Floats[], Free> memory_;
};

}  // namespace cpp_ext
