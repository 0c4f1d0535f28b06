/* Sums of products of activations and weights.
 *
 * Weights are stored in pairs of rows, interleaved by words: four of the first row, four of the second row, and so on. The
 * last one to three columns are interleaved by bytes. */

/* Part of an image under a window. */
typedef struct {
  int32_t runs;        /* runs of activations that lie together */
  int32_t size;        /* activations in each run */
  int32_t run_step;    /* bytes from one run to the next */
  int32_t weight_step; /* bytes from the weights of one run to those of the next */
  int32_t pixel_step;  /* bytes to the second pixel */
  int32_t offset;      /* that is added to activations */
} ep_patch;

#if EP_DSP
/* Returns four bytes as one word, from any address. */
static inline uint32_t ep_word(const int8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Returns the bytes 0 and 2 of a word as halfwords, plus those of offsets. */
static inline int16x2_t ep_even(int16x2_t offsets, uint32_t word) { return __sxtab16(offsets, (int8x4_t)word); }

/* Returns the bytes 1 and 3 of a word as halfwords, plus those of offsets. Compilers do not join rotation and extension. */
static inline int16x2_t ep_odd(int16x2_t offsets, uint32_t word) {
  int16x2_t result;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(offsets), "r"(word));
  return result;
}

/* Returns the bytes 1 and 3 of a word as halfwords. */
static inline int16x2_t ep_odd_plain(uint32_t word) {
  int16x2_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
  return result;
}
#endif

/* Adds the products of two pixels and a pair of rows of weights: sums[0] is x0 w0, [1] x0 w1, [2] x1 w0 and [3] x1 w1. */
static EP_NOINLINE void ep_dot_pair(const ep_patch *patch, const int8_t *in, const int8_t *weights, int32_t *sums) {
  const int32_t offset = patch->offset;
  int32_t s00 = sums[0];
  int32_t s01 = sums[1];
  int32_t s10 = sums[2];
  int32_t s11 = sums[3];
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
#endif
  for (int32_t run = 0; run < patch->runs; ++run) {
    const int8_t *x0 = in + run * patch->run_step;
    const int8_t *x1 = x0 + patch->pixel_step;
    const int8_t *w = weights + run * patch->weight_step;
    const int8_t *const words_end = x0 + (patch->size & ~3);
    while (x0 != words_end) {
#if EP_DSP
      const uint32_t a = ep_word(x0);
      const uint32_t b = ep_word(x1);
      const int16x2_t a_even = ep_even(offsets, a);
      const int16x2_t b_even = ep_even(offsets, b);
      const int16x2_t a_odd = ep_odd(offsets, a);
      const int16x2_t b_odd = ep_odd(offsets, b);
      uint32_t word = ep_word(w);
      int16x2_t even = __sxtb16((int8x4_t)word);
      int16x2_t odd = ep_odd_plain(word);
      s00 = __smlad(a_even, even, s00);
      s10 = __smlad(b_even, even, s10);
      s00 = __smlad(a_odd, odd, s00);
      s10 = __smlad(b_odd, odd, s10);
      word = ep_word(w + 4);
      even = __sxtb16((int8x4_t)word);
      odd = ep_odd_plain(word);
      s01 = __smlad(a_even, even, s01);
      s11 = __smlad(b_even, even, s11);
      s01 = __smlad(a_odd, odd, s01);
      s11 = __smlad(b_odd, odd, s11);
#else
      for (int32_t i = 0; i < 4; ++i) {
        const int32_t a = x0[i] + offset;
        const int32_t b = x1[i] + offset;
        s00 += a * w[i];
        s01 += a * w[4 + i];
        s10 += b * w[i];
        s11 += b * w[4 + i];
      }
#endif
      x0 += 4;
      x1 += 4;
      w += 8;
    }
    for (int32_t i = 0; i < (patch->size & 3); ++i) {
      const int32_t a = x0[i] + offset;
      const int32_t b = x1[i] + offset;
      s00 += a * w[2 * i];
      s01 += a * w[2 * i + 1];
      s10 += b * w[2 * i];
      s11 += b * w[2 * i + 1];
    }
  }
  sums[0] = s00;
  sums[1] = s01;
  sums[2] = s10;
  sums[3] = s11;
}

/* Adds the products of one pixel and a pair of rows of weights to sums[0] and [1]. */
static EP_NOINLINE void ep_dot_single(const ep_patch *patch, const int8_t *in, const int8_t *weights, int32_t *sums) {
  const int32_t offset = patch->offset;
  int32_t s0 = sums[0];
  int32_t s1 = sums[1];
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
#endif
  for (int32_t run = 0; run < patch->runs; ++run) {
    const int8_t *x = in + run * patch->run_step;
    const int8_t *w = weights + run * patch->weight_step;
    const int8_t *const words_end = x + (patch->size & ~3);
    while (x != words_end) {
#if EP_DSP
      const uint32_t a = ep_word(x);
      const uint32_t w0 = ep_word(w);
      const uint32_t w1 = ep_word(w + 4);
      const int16x2_t even = ep_even(offsets, a);
      const int16x2_t odd = ep_odd(offsets, a);
      s0 = __smlad(even, __sxtb16((int8x4_t)w0), s0);
      s1 = __smlad(even, __sxtb16((int8x4_t)w1), s1);
      s0 = __smlad(odd, ep_odd_plain(w0), s0);
      s1 = __smlad(odd, ep_odd_plain(w1), s1);
#else
      for (int32_t i = 0; i < 4; ++i) {
        const int32_t a = x[i] + offset;
        s0 += a * w[i];
        s1 += a * w[4 + i];
      }
#endif
      x += 4;
      w += 8;
    }
    for (int32_t i = 0; i < (patch->size & 3); ++i) {
      const int32_t a = x[i] + offset;
      s0 += a * w[2 * i];
      s1 += a * w[2 * i + 1];
    }
  }
  sums[0] = s0;
  sums[1] = s1;
}
