/* Returns value / 2^exponent, rounded half away from zero. */
static inline int32_t ep_divide_by_power(int32_t value, int32_t exponent) {
  if (exponent == 0) {
    return value;
  }
  const int32_t twice = (value - (value < 0)) >> (exponent - 1);
  return (twice >> 1) + (twice & 1);
}

/* Returns a * b / 2^31, rounded half up. */
static inline int32_t ep_doubling_high(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* Returns value * multiplier / 2^31 * 2^shift. Rounds twice, as the reference kernels of TensorFlow Lite Micro do. */
static inline int32_t ep_rescale(int32_t value, int32_t multiplier, int32_t shift) {
  if (shift > 0) { /* a factor of at least 1 is rare */
    return ep_doubling_high((int32_t)((uint32_t)value << shift), multiplier);
  }
  return ep_divide_by_power(ep_doubling_high(value, multiplier), -shift);
}

/* Returns value limited to the range from low to high. */
static inline int32_t ep_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : (value > high ? high : value);
}
