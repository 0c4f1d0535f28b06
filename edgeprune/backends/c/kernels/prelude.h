#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#include <arm_acle.h>
#define EP_DSP 1
#else
#define EP_DSP 0
#endif

#if defined(__GNUC__)
#define EP_NOINLINE __attribute__((noinline)) /* so that an inner loop has all registers */
#else
#define EP_NOINLINE
#endif
