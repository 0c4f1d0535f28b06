#define EP_SUM_SHIFT 20 /* bits that operands of a sum gain before they are scaled */

/* Calls statement for each element, with the operands a and b, without their zero points. */
#define EP_FOR_EACH(statement)                                                                                    \
  const int32_t *const n = layer->sizes;                                                                          \
  const int32_t *const s = layer->first.steps;                                                                    \
  const int32_t *const t = layer->second.steps;                                                                   \
  for (int32_t i = 0; i < n[0]; ++i) {                                                                            \
    for (int32_t j = 0; j < n[1]; ++j) {                                                                          \
      for (int32_t k = 0; k < n[2]; ++k) {                                                                        \
        const int8_t *x = first + i * s[0] + j * s[1] + k * s[2];                                                 \
        const int8_t *y = second + i * t[0] + j * t[1] + k * t[2];                                                \
        for (int32_t l = 0; l < n[3]; ++l) {                                                                      \
          const int32_t a = *x + layer->first.offset;                                                             \
          const int32_t b = *y + layer->second.offset;                                                            \
          statement;                                                                                              \
          x += s[3];                                                                                              \
          y += t[3];                                                                                              \
        }                                                                                                         \
      }                                                                                                           \
    }                                                                                                             \
  }

static int32_t ep_sum(const ep_arithmetic *layer, int32_t a, int32_t b) {
  const int32_t scaled_a = ep_rescale(a * (1 << EP_SUM_SHIFT), layer->first.multiplier, layer->first.shift);
  const int32_t scaled_b = ep_rescale(b * (1 << EP_SUM_SHIFT), layer->second.multiplier, layer->second.shift);
  return ep_rescale(scaled_a + scaled_b, layer->multiplier, layer->shift);
}

void ep_add(const ep_arithmetic *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_EACH(*out++ = (int8_t)ep_clamp(ep_sum(layer, a, b) + layer->out_offset, layer->low, layer->high))
}

void ep_multiply(const ep_arithmetic *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_EACH(*out++ = (int8_t)ep_clamp(ep_rescale(a * b, layer->multiplier, layer->shift) + layer->out_offset,
                                        layer->low, layer->high))
}
