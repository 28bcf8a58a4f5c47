// out[m, n] = scales[n] sum_k x[m, k] weight[n, k] + bias[n], weight int8; see csrc/cpu/linear_w8.cpp. A warp
// does one row of the weight for kBatch rows of x: at decode sizes the weights are read once, 16 bytes a
// lane. Larger batches read them again for every kBatch rows, from the second-level cache; tensor cores are
// not used.
#include "common/gpu.h"
#include "common/register.h"

namespace cpp_ext {

constexpr int kBatch = 8;

struct LinearShape {
  int64_t batch, inputs, outputs;
};

template <int N, class T>
__global__ void linear_w8_kernel(const T* x, const int8_t* weight, const T* scales, const T* bias, T* out,
                                 LinearShape s) {
  using Codes = Pack<int8_t, N>;
  const int lane = threadIdx.x % CPP_EXT_WARP, warps = blockDim.x / CPP_EXT_WARP;
  // Rows of the weight and of x beyond the grid are strided over; a warp has one row at a time.
  for (int64_t n = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / CPP_EXT_WARP; n < s.outputs;
       n += static_cast<int64_t>(gridDim.x) * warps) {
    const Codes* codes = reinterpret_cast<const Codes*>(weight + n * s.inputs);
    for (int64_t first = static_cast<int64_t>(blockIdx.y) * kBatch; first < s.batch;
         first += static_cast<int64_t>(gridDim.y) * kBatch) {
      float sum[kBatch] = {};
      for (int64_t i = lane; i < s.inputs / N; i += CPP_EXT_WARP) {
        const Codes w = codes[i];
#pragma unroll
        for (int m = 0; m < kBatch; ++m) {
          if (first + m >= s.batch) break;
          const T* row = x + (first + m) * s.inputs + i * N;
          constexpr int kWide = N < kPack<T> ? 1 : kPack<T>;
#pragma unroll
          for (int part = 0; part < N; part += kWide) {
            const auto v = *reinterpret_cast<const Pack<T, kWide>*>(row + part);
#pragma unroll
            for (int k = 0; k < kWide; ++k) sum[m] += to_float(v.v[k]) * static_cast<float>(w.v[part + k]);
          }
        }
      }
#pragma unroll
      for (int m = 0; m < kBatch; ++m) {
        float total = sum[m];
        for (int mask = CPP_EXT_WARP / 2; mask > 0; mask /= 2) total += CPP_EXT_SHUFFLE_XOR(total, mask);
        if (lane == 0 && first + m < s.batch) {
          const float y = total * to_float(scales[n]) + (bias ? to_float(bias[n]) : 0.0f);
          out[(first + m) * s.outputs + n] = from_float<T>(y);
        }
      }
    }
  }
}

template <class T>
void linear_w8(const T* x, const int8_t* weight, const T* scales, const T* bias, T* out, LinearShape s,
               GpuStream stream) {
  const int64_t batches = (s.batch + kBatch - 1) / kBatch;
  const dim3 grid(blocks_for(s.outputs, kThreads / 32),
                  static_cast<unsigned>(batches < 1024 ? batches : 1024));
  const dim3 block(kThreads);  // 8 warps, or 4 of 64 lanes, which then take two rows each
  if (s.inputs % kVectorBytes == 0 && aligned({x, weight}))
    linear_w8_kernel<kVectorBytes><<<grid, block, 0, stream>>>(x, weight, scales, bias, out, s);
  else
    linear_w8_kernel<1><<<grid, block, 0, stream>>>(x, weight, scales, bias, out, s);
  check_launch("linear_w8");
}

// ---- binding ----

static void run(const Args& args) {
  const View &x = args.in[0], &weight = args.in[1], &bias = args.in[3], &out = args.out[0];
  const LinearShape shape{out.numel / weight.sizes[0], weight.sizes[1], weight.sizes[0]};
  with_float_type(x.dtype, [&]<class T>(T*) {
    linear_w8(x.as<const T>(), weight.as<const int8_t>(), args.in[2].as<const T>(),
              bias.given ? bias.as<const T>() : nullptr, out.as<T>(), shape, stream_of(args.stream));
  });
}

extern Op linear_w8_op;
static const Implement<linear_w8_op, run> linear_w8_cuda("CUDA");

}  // namespace cpp_ext
