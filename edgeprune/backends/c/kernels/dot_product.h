/* Sums of products of activations and weights. The zero point of the activations is added to each of them. */

#if EP_DSP
/* Returns four bytes as one word, from any address. */
static inline uint32_t ep_word(const int8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Returns the bytes 0 and 2 of a word as halfwords, plus those of offsets. */
static inline int16x2_t ep_even(int16x2_t offsets, uint32_t word) {
  return __sxtab16(offsets, (int8x4_t)word);
}

/* Returns the bytes 1 and 3 of a word as halfwords, plus those of offsets. */
static inline int16x2_t ep_odd(int16x2_t offsets, uint32_t word) {
  return __sxtab16(offsets, (int8x4_t)__ror(word, 8));
}
#endif

/* Adds the products of one row of activations and one row of weights. */
static inline int32_t ep_dot(const int8_t *x, const int8_t *w, int32_t size, int32_t offset, int32_t sum) {
  int32_t i = 0;
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
  for (; i + 4 <= size; i += 4) {
    const uint32_t xs = ep_word(x + i);
    const uint32_t ws = ep_word(w + i);
    sum = __smlad(ep_even(offsets, xs), ep_even(0, ws), sum);
    sum = __smlad(ep_odd(offsets, xs), ep_odd(0, ws), sum);
  }
#endif
  for (; i < size; ++i) {
    sum += (x[i] + offset) * w[i];
  }
  return sum;
}

/* Adds the products of two rows of activations and two rows of weights: sums[0] is x0 w0, [1] x0 w1, [2] x1 w0, [3] x1 w1. */
static inline void ep_dot_2x2(const int8_t *x0, const int8_t *x1, const int8_t *w0, const int8_t *w1, int32_t size,
                              int32_t offset, int32_t *sums) {
  int32_t i = 0;
  int32_t s00 = sums[0];
  int32_t s01 = sums[1];
  int32_t s10 = sums[2];
  int32_t s11 = sums[3];
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
  for (; i + 4 <= size; i += 4) {
    const uint32_t xs0 = ep_word(x0 + i);
    const uint32_t xs1 = ep_word(x1 + i);
    const uint32_t ws0 = ep_word(w0 + i);
    const uint32_t ws1 = ep_word(w1 + i);
    const int16x2_t we0 = ep_even(0, ws0);
    const int16x2_t we1 = ep_even(0, ws1);
    const int16x2_t wo0 = ep_odd(0, ws0);
    const int16x2_t wo1 = ep_odd(0, ws1);
    int16x2_t xe = ep_even(offsets, xs0);
    int16x2_t xo = ep_odd(offsets, xs0);
    s00 = __smlad(xe, we0, s00);
    s01 = __smlad(xe, we1, s01);
    s00 = __smlad(xo, wo0, s00);
    s01 = __smlad(xo, wo1, s01);
    xe = ep_even(offsets, xs1);
    xo = ep_odd(offsets, xs1);
    s10 = __smlad(xe, we0, s10);
    s11 = __smlad(xe, we1, s11);
    s10 = __smlad(xo, wo0, s10);
    s11 = __smlad(xo, wo1, s11);
  }
#endif
  for (; i < size; ++i) {
    const int32_t xa = x0[i] + offset;
    const int32_t xb = x1[i] + offset;
    s00 += xa * w0[i];
    s01 += xa * w1[i];
    s10 += xb * w0[i];
    s11 += xb * w1[i];
  }
  sums[0] = s00;
  sums[1] = s01;
  sums[2] = s10;
  sums[3] = s11;
}
