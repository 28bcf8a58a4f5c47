// softmax(scale * query key^T) value on the GPU; what a query sees is as in csrc/cpu/attention.cpp. Few query
// rows are bound by memory (common/gpu_attention_decode.h), many by arithmetic
// (common/gpu_attention_prefill.h).
#include "common/gpu_attention_decode.h"
#include "common/gpu_attention_prefill.h"
#include "common/register.h"

namespace cpp_ext {

// ---- binding ----

static void run(const Args& args) {
  const View &query = args.in[0], &key = args.in[1], &value = args.in[2], &lengths = args.in[3];
  AttentionSizes s{.batch = query.sizes[0],
                   .queries = query.sizes[1],
                   .keys = key.sizes[1],
                   .heads = query.sizes[2],
                   .key_heads = key.sizes[2],
                   .dim = query.sizes[3],
                   .lengths = lengths.defined ? lengths.as<const int64_t>() : nullptr,
                   .scale = static_cast<float>(args.scalars[0].real) * kLog2e,
                   .causal = args.scalars[1].integer != 0};
  constexpr int64_t kMaxKeys = 1 << 30;  // counted in int
  if (s.keys > kMaxKeys)
    throw std::runtime_error("attention: key has " + std::to_string(s.keys) +
                             " keys, expected at most 1073741824 on a GPU");
  constexpr int64_t kMaxGrid = 65535;  // of the second and third dimension
  if (s.batch > kMaxGrid || s.key_heads * kDecodeRows > kMaxGrid)
    throw std::runtime_error("attention: query has batch " + std::to_string(s.batch) + " and key " +
                             std::to_string(s.key_heads) +
                             " heads, expected at most 65535 and 8191 on a GPU");
  with_float_type(query.dtype, [&]<class T>(T*) {
    const T *q = query.as<const T>(), *k = key.as<const T>(), *v = value.as<const T>();
    T* out = args.out[0].as<T>();
    s.packs = s.dim % kPack<T> == 0 && aligned({q, k, v, out});
    const auto launch = [&]<int kDim>(std::integral_constant<int, kDim>) {
      if (s.rows() <= kDecodeRows)
        decode<kDim>(q, k, v, out, s, args);
      else
        prefill<kDim>(q, k, v, out, s, stream_of(args.stream));
    };
    if (s.dim <= 64)
      launch(std::integral_constant<int, 64>{});
    else if (s.dim <= 128)
      launch(std::integral_constant<int, 128>{});
    else
      launch(std::integral_constant<int, 256>{});
  });
}

extern Op attention_op;
static const Implement<attention_op, run> attention_cuda("CUDA");

}  // namespace cpp_ext
