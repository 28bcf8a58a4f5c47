// The gradient of cross_entropy by the logits: with p = e^(x - lse), the share g of the gradient that comes
// to the row (divided by the number of targets that are not ignored for the mean) and label smoothing s, g (p
// - s / classes), and g (1 - s) less at the target; 0 in the rows of ignored targets.
#include "common/cross_entropy.h"
#include "common/log_sum_exp.h"
#include "common/parallel.h"
#include "common/register.h"
#include "common/rows.h"

namespace cpp_ext {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements

// The target's element is written alone between the two parts of its row, so that the loop knows nothing of
// it, and in double: with one class or much smoothing it is a small difference of numbers near one.
template <bool kStream, class T>
void gradient_part(T* out, const T* x, int64_t first, int64_t last, int64_t n, double lse, float grad,
                   int64_t target, float smoothing) {
  // In two parts: a single float32 would cost p as many digits as lse has before the point.
  const float high = static_cast<float>(lse), low = static_cast<float>(lse - high);
  const float uniform = grad * smoothing / static_cast<float>(n);
  // `part` is too long to be inlined, so all that its loop reads is captured by copy: through references it
  // would be loaded again after every store, 15 loads a vector.
  const auto part = [=](int64_t begin, int64_t end) {
    const Exp exp;
    const T* in = x + begin;
    const float a = high, b = low, g = grad, e = uniform;
    write_row<kStream>(out + begin, end - begin, [&](auto at) { return exp(at.load(in) - a - b) * g - e; });
  };
  if (target < first || target >= last) return part(first, last);
  const float p = Exp()(splat(element(x + target) - high - low))[0];
  part(first, target);
  const double s = smoothing, off = (p - 1.0) + (s - s / static_cast<double>(n));
  set_element(out + target, static_cast<float>(off * grad));
  part(target + 1, last);
}

template <class T>
void cross_entropy_backward(const View* in, const View& output, const CrossEntropyOptions& options,
                            int64_t counted) {
  const T *grad = in[0].as<T>(), *logits = in[1].as<T>();
  const int64_t *target = in[2].as<int64_t>(), classes = in[1].sizes[1];
  const double* lse = in[3].as<double>();
  T* out = output.as<T>();
  const float share = options.reduction == kMean ? 1.0f / static_cast<float>(counted) : 1.0f;
  const bool past_cache = streams<T>(output, 1024);
  const int64_t rows = in[1].sizes[0], parts = parts_of_row(rows, classes);
  const int64_t grain = std::max<int64_t>(1, kGrain / classes);
  parallel_for(rows * parts, grain, [&, share](int64_t begin, int64_t end) {
    with_stream(past_cache, [&]<bool kStream>(std::bool_constant<kStream>) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t i = item / parts, first = part_of_row(item % parts, parts, classes);
        const int64_t last = part_of_row(item % parts + 1, parts, classes);
        T* result = out + i * classes;
        if (target[i] == options.ignore_index) {
          std::memset(result + first, 0, static_cast<size_t>(last - first) * sizeof(T));
          continue;
        }
        const float g = element(options.reduction == kNone ? grad + i : grad) * share;
        gradient_part<kStream>(result, logits + i * classes, first, last, classes, lse[i], g, target[i],
                               options.smoothing);
      }
    });
  });
}

// ---- binding ----

void check(const Args& args) {
  require_float(args, 0);
  require_same_dtype(args, 1, 0);
  check_cross_entropy(args, 1, 2);
  require_dtype(args, 3, DType::f64);
  const int64_t* rows = args.in[1].sizes;
  const bool per_row = args.scalars[2].integer == kNone;
  if (!same_shape(args.in[0], rows, per_row))
    fail_shape(args, 0, shape_text(rows, per_row) + (per_row ? ", the rows of logits" : ", a scalar"));
  if (!same_shape(args.in[3], rows, 1)) fail_shape(args, 3, shape_text(rows, 1) + ", the rows of logits");
}

void run(const Args& args) {
  const CrossEntropyOptions options(args.scalars);
  const int64_t counted = check_targets(args, 2, args.in[1].sizes[1], options.ignore_index);
  with_float_type(args.in[0].dtype,
                  [&]<class T>(T*) { cross_entropy_backward<T>(args.in, args.out[0], options, counted); });
}

}  // namespace

constinit Op cross_entropy_backward_op{
    .name = "cross_entropy_backward",
    .schema =
        "(Tensor grad, Tensor logits, Tensor target, Tensor lse, float label_smoothing, int ignore_index, "
        "int reduction) -> Tensor",
    .check = check,
    .outputs = {{.name = "out", .like = 1}}};
static const DefineWithCpu<cross_entropy_backward_op, run> cross_entropy_backward_cpu;

}  // namespace cpp_ext
