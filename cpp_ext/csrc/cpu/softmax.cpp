// softmax(scale x + mask) over the last dimension, in float32: e^(t - max t) / sum of e^(t - max t). A row is
// in the cache when it is read a second time. A row of -inf alone is 0 / 0, NaN, as in PyTorch.
#include <memory>
#include <new>

#include "common/broadcast.h"
#include "common/checks.h"
#include "common/log_sum_exp.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/rows.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements

// The exponentials of a row are stored in float32, so that they are computed once: in `out` where it is
// float32 and stays in the cache, else in a buffer for rows of up to this many elements, which fits into the
// L2 cache. For longer rows they are computed twice.
constexpr int64_t kHeld = 1 << 17;
constexpr int64_t kRowsHeld = 1 << 20;  // of all rows together, where they are few

template <class Score>
float max_of_row(int64_t n, const Score& score) {
  Floats max[4];
  for (Floats& m : max) m = splat(-kInfinity);
  along_row(0, n, [&max, score](auto at, int k) {
    max[k] = larger(at.only(score(at), -kInfinity), max[k]);  // passes over a NaN
  });
  return max_of(larger(larger(max[0], max[1]), larger(max[2], max[3])));
}

// held[i] = e^(score - max); returns their sum, NaN if one is. The row at `next` is computed after this one.
template <class T, class Score>
float exponentials(float* held, int64_t n, const Score& score, float max, const T* next) {
  const auto sums = sums_of_row<1>(n, [=, exp = Exp{}](Floats* sum, auto at) {
    prefetch(next, at.i);
    const Floats e = at.only(exp(score(at) - max));
    at.store(held, e);
    sum[0] += e;
  });
  return sums[0];
}

template <bool kStream, class T, class Score>
void softmax_row(T* out, float* held, int64_t n, const Score& score, const T* next) {
  if (held) {
    const float scale = 1.0f / exponentials(held, n, score, max_of_row(n, score), next);
    write_row<kStream>(out, n, [=](auto at) { return at.load(held) * scale; });
  } else {
    const RowSums row = max_and_sum<false>(0, n, score);
    const float scale = 1.0f / row.sum;
    write_row<kStream>(out, n, [=, exp = Exp{}](auto at) { return exp(score(at) - row.max) * scale; });
  }
}

// Calls f(score) for one row; score(at) is a vector of scale x + mask.
template <class T, class F>
inline void with_score(const T* x, const T* mask, bool one_mask, float scale, const F& f) {
  if (!mask) {
    f([=](auto at) { return at.load(x) * scale; });
  } else if (one_mask) {
    f([=, m = element(mask)](auto at) { return at.load(x) * scale + m; });
  } else {
    f([=](auto at) { return at.load(x) * scale + at.load(mask); });
  }
}

// A few long rows: each is split over threads, first to compute its exponentials, then to write them.
template <class T, class WithScore>
void softmax_in_parts(T* out, float* held, int64_t rows, int64_t n, int64_t parts,
                      const WithScore& with_score_at) {
  RowSums sums[kRowParts];
  const auto over_parts = [=](const auto& f) {
    parallel_for(rows * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t first = part_of_row(item % parts, parts, n);
        f(item, first, part_of_row(item % parts + 1, parts, n) - first);
      }
    });
  };
  over_parts([&](int64_t item, int64_t first, int64_t size) {
    const int64_t row = item / parts, at = row * n + first;
    with_score_at(row, first, [&](const auto& score) {
      // The maximum of a part that is completely masked must be a number.
      const float max = std::max(kLowest, max_of_row(size, score));
      sums[item] = {max, exponentials(held + at, size, score, max, out + at)};
    });
  });
  RowSums of_row[kRowParts];
  for (int64_t item = 0; item < rows * parts; ++item) of_row[item / parts].merge(sums[item]);
  over_parts([&](int64_t item, int64_t first, int64_t size) {
    const RowSums& row = of_row[item / parts];
    const float scale = std::exp(sums[item].max - row.max) / row.sum;
    const float* e = held + item / parts * n + first;
    write_row<false>(out + item / parts * n + first, size, [=](auto at) { return at.load(e) * scale; });
  });
}

template <class T>
void softmax(const View& x_view, const View& mask_view, const View& output, float scale) {
  const T* x = x_view.as<T>();
  const T* masks = mask_view.defined ? mask_view.as<T>() : nullptr;
  T* out = output.as<T>();
  const int64_t n = x_view.sizes[x_view.rank - 1];
  const bool one_mask = masks && n > 1 && (mask_view.rank == 0 || mask_view.sizes[mask_view.rank - 1] == 1);
  const BroadcastRows mask_rows(mask_view, x_view);
  const int64_t rows = output.numel / n, parts = parts_of_row(rows, n);
  const auto with_score_at = [&](int64_t row, int64_t first, const auto& f) {
    const T* mask = masks ? masks + mask_rows.offset(row) + (one_mask ? 0 : first) : nullptr;
    with_score(x + row * n + first, mask, one_mask, scale, f);
  };
  if (parts > 1) {
    float* held = nullptr;
    std::unique_ptr<float[]> room;
    if constexpr (std::is_same_v<T, float>)
      held = out;
    else if (rows * n <= kRowsHeld)
      held = (room = std::unique_ptr<float[]>(new (std::nothrow) float[rows * n])).get();
    if (held) return softmax_in_parts(out, held, rows, n, parts, with_score_at);
  }
  const bool past_cache = streams<T>(output, 1024);
  parallel_for(rows, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
      constexpr bool kInOutput = !kStream && std::is_same_v<T, float>;
      const std::unique_ptr<float[]> room(kInOutput || n > kHeld ? nullptr : new (std::nothrow) float[n]);
      for (int64_t row = begin; row < end; ++row) {
        float* held = room.get();
        if constexpr (kInOutput) held = out + row * n;
        with_score_at(row, 0, [&](const auto& score) {
          softmax_row<kStream>(out + row * n, held, n, score, x + (row + 1) * n);
        });
      }
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  const View &x = args.in[0], &mask = args.in[1];
  require_float(args, 0);
  if (x.rank < 1) fail_rank(args, 0, "at least 1");
  if (!mask.defined) return;
  require_same_dtype(args, 1, 0);
  if (!broadcasts(mask, x))
    fail_shape(args, 1, "one that broadcasts to " + shape_text(x.sizes, x.rank) + ", the shape of x");
}

void run(const Args& args) {
  const float scale = static_cast<float>(args.scalars[0].real);
  with_float_type(args.in[0].dtype,
                  [&]<class T>(T*) { softmax<T>(args.in[0], args.in[1], args.out[0], scale); });
}

}  // namespace

constinit Op softmax_op{.name = "softmax",
                        .schema = "(Tensor x, Tensor? mask, float scale) -> Tensor",
                        .check = check,
                        .outputs = {{.name = "out", .like = 0}},
                        .in_place = true};
static const DefineWithCpu<softmax_op, run> softmax_cpu;

}  // namespace cpp_ext
