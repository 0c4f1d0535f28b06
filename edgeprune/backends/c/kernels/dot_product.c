/* Sums of products of activations and weights.
 *
 * Weights are stored in pairs of channels, interleaved by words: four of the first channel, four of the second channel, and
 * so on. The last one to three of each run are interleaved by bytes. The weights of the next pair follow. */

/* Part of an image under a window: lines of runs of activations that lie together. */
typedef struct {
  int32_t lines, runs, size; /* size: activations in a run */
  int32_t line_step, run_step; /* bytes to the next line and run */
  int32_t line_weights, run_weights; /* bytes to the weights of the next line and run */
  int32_t pair_weights; /* bytes to the weights of the next pair of channels */
  int32_t pixel_step; /* bytes to the second pixel */
  int32_t offset; /* that is added to activations */
} ep_patch;

/* Writes the outputs of a channel of two pixels. */
static inline void ep_write_two(const ep_outputs *outputs, int32_t channel, int32_t first, int32_t second, int8_t *out,
                                int8_t *next) {
  const int8_t result = ep_output(outputs, channel, first);
  next[channel] = ep_output(outputs, channel, second);
  out[channel] = result;
}

/* Computes the channels from first to end of two pixels, two at a time. The second pixel is written to next. */
static EP_NOINLINE void ep_two_pixels(const ep_patch *patch, const ep_outputs *outputs, const int8_t *in,
                                      const int8_t *weights, int32_t first, int32_t end, int8_t *out, int8_t *next) {
  const int32_t offset = patch->offset;
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
#endif
  for (int32_t channel = first; channel < end; channel += 2) {
    const int second = channel + 1 < end;
    int32_t s00 = outputs->bias[channel];
    int32_t s01 = second ? outputs->bias[channel + 1] : 0;
    int32_t s10 = s00;
    int32_t s11 = s01;
    for (int32_t line = 0; line < patch->lines; ++line) {
      for (int32_t run = 0; run < patch->runs; ++run) {
        const int8_t *x0 = in + line * patch->line_step + run * patch->run_step;
        const int8_t *x1 = x0 + patch->pixel_step;
        const int8_t *w = weights + line * patch->line_weights + run * patch->run_weights;
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
    }
    ep_write_two(outputs, channel, s00, s10, out, next);
    if (second) {
      ep_write_two(outputs, channel + 1, s01, s11, out, next);
    }
    weights += patch->pair_weights;
  }
}

/* Computes the channels from first to end of one pixel, two at a time. */
static EP_NOINLINE void ep_one_pixel(const ep_patch *patch, const ep_outputs *outputs, const int8_t *in,
                                     const int8_t *weights, int32_t first, int32_t end, int8_t *out) {
  const int32_t offset = patch->offset;
#if EP_DSP
  const int16x2_t offsets = (int16x2_t)(((uint32_t)offset & 0xffffU) * 0x10001U);
#endif
  for (int32_t channel = first; channel < end; channel += 2) {
    const int second = channel + 1 < end;
    int32_t s0 = outputs->bias[channel];
    int32_t s1 = second ? outputs->bias[channel + 1] : 0;
    for (int32_t line = 0; line < patch->lines; ++line) {
      for (int32_t run = 0; run < patch->runs; ++run) {
        const int8_t *x = in + line * patch->line_step + run * patch->run_step;
        const int8_t *w = weights + line * patch->line_weights + run * patch->run_weights;
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
    }
    out[channel] = ep_output(outputs, channel, s0);
    if (second) {
      out[channel + 1] = ep_output(outputs, channel + 1, s1);
    }
    weights += patch->pair_weights;
  }
}
