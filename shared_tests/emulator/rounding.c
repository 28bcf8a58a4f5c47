// a * b + c with one rounding, in each of the rounding modes of PTX. NumPy has no such function.
#include <fenv.h>
#include <math.h>
#include <stdint.h>

static const int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

#if defined(__x86_64__) && defined(__gnu_linux__)
#define CLONES __attribute__((noinline, target_clones("arch=haswell", "default")))
#else
#define CLONES __attribute__((noinline))
#endif

// An operand with stride 0 is one value for all lanes.
#define LOOP(NAME, T, FMA)                                                                              \
  CLONES static void NAME##_loop(int64_t n, const T* a, int sa, const T* b, int sb, const T* c, int sc, \
                                 T* out) {                                                              \
    if (sa && sb && sc)                                                                                 \
      for (int64_t i = 0; i < n; ++i) out[i] = FMA(a[i], b[i], c[i]);                                   \
    else                                                                                                \
      for (int64_t i = 0; i < n; ++i) out[i] = FMA(a[i * sa], b[i * sb], c[i * sc]);                    \
  }                                                                                                     \
  void NAME(int64_t n, int mode, const T* a, int sa, const T* b, int sb, const T* c, int sc, T* out) {  \
    fesetround(kModes[mode]);                                                                           \
    NAME##_loop(n, a, sa, b, sb, c, sc, out);                                                           \
    fesetround(FE_TONEAREST);                                                                           \
  }

LOOP(fused32, float, fmaf)
LOOP(fused64, double, fma)
