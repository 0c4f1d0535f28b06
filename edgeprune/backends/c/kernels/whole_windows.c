/* Computes all channels of two pixels whose windows are inside the image, two channels at a time. Taps of a line lie
 * together. bias contains the offset times the weights. The second pixel is written to next. */
static EP_NOINLINE void ep_two_whole(const ep_patch *patch, const ep_outputs *outputs, const int32_t *bias,
                                     const int8_t *in, const int8_t *weights, int32_t channels, int8_t *out,
                                     int8_t *next) {
  const int32_t words = patch->size & ~3;
  const int32_t gap = patch->line_step - patch->size;
  const int8_t *w = weights;
  for (int32_t channel = 0; channel < channels; channel += 2) {
    const int8_t *x0 = in;
    const int8_t *x1 = in + patch->pixel_step;
    int32_t s00 = bias[channel];
    int32_t s01 = channel + 1 < channels ? bias[channel + 1] : 0;
    int32_t s10 = s00;
    int32_t s11 = s01;
    for (int32_t line = patch->lines; line > 0; --line) {
      EP_DOT_WORDS(x0, x1, w, words, s00, s01, s10, s11);
      for (int32_t i = patch->size & 3; i > 0; --i) {
        const int32_t a = *x0++;
        const int32_t b = *x1++;
        s00 += a * w[0];
        s01 += a * w[1];
        s10 += b * w[0];
        s11 += b * w[1];
        w += 2;
      }
      x0 += gap;
      x1 += gap;
    }
    ep_write_two(outputs, channel, s00, s10, out, next);
    if (channel + 1 < channels) {
      ep_write_two(outputs, channel + 1, s01, s11, out, next);
    }
  }
}
