/* Computes one row of an operator, with the elements x and y: result is an expression of them. */
#define EP_ROWS(row)                                                                                              \
  const int32_t *const n = layer->broadcast.sizes;                                                                \
  const int32_t *const s = layer->broadcast.first_steps;                                                          \
  const int32_t *const t = layer->broadcast.second_steps;                                                         \
  for (int32_t i = 0; i < n[0]; ++i) {                                                                            \
    for (int32_t j = 0; j < n[1]; ++j) {                                                                          \
      for (int32_t k = 0; k < n[2]; ++k) {                                                                        \
        row(layer, first + i * s[0] + j * s[1] + k * s[2], second + i * t[0] + j * t[1] + k * t[2], out);         \
        out += n[3];                                                                                              \
      }                                                                                                           \
    }                                                                                                             \
  }

#define EP_SUM_SHIFT 20 /* bits that operands of a sum gain before they are scaled */

static EP_NOINLINE void ep_add_row(const ep_addition *layer, const int8_t *x, const int8_t *y, int8_t *out) {
  const ep_addition own = *layer; /* a copy, because a store through out might change *layer */
  const int32_t x_step = own.broadcast.first_steps[3];
  const int32_t y_step = own.broadcast.second_steps[3];
  const int8_t *const end = out + own.broadcast.sizes[3];
  const int32_t factor = own.first_sign * (INT32_C(1) << (EP_SUM_SHIFT - 1));
  while (out != end) {
    const int32_t b = (*y + own.offsets.second) * (INT32_C(1) << EP_SUM_SHIFT);
    const int32_t scaled = ep_rescale(b, own.second_multiplier, own.second_shift) * own.second_sign;
    const int32_t sum = (*x + own.offsets.first) * factor + scaled;
    const int32_t result = ep_rescale(sum, own.multiplier, own.shift) + own.offsets.result;
    *out++ = (int8_t)ep_clamp(result, own.offsets.low, own.offsets.high);
    x += x_step;
    y += y_step;
  }
}

static EP_NOINLINE void ep_multiply_row(const ep_product *layer, const int8_t *x, const int8_t *y, int8_t *out) {
  const ep_product own = *layer;
  const int32_t x_step = own.broadcast.first_steps[3];
  const int32_t y_step = own.broadcast.second_steps[3];
  const int8_t *const end = out + own.broadcast.sizes[3];
  while (out != end) {
    const int32_t product = (*x + own.offsets.first) * (*y + own.offsets.second);
    const int32_t result = ep_rescale(product, own.multiplier, own.shift) + own.offsets.result;
    *out++ = (int8_t)ep_clamp(result, own.offsets.low, own.offsets.high);
    x += x_step;
    y += y_step;
  }
}

void ep_add(const ep_addition *layer, const int8_t *first, const int8_t *second, int8_t *out) { EP_ROWS(ep_add_row) }

void ep_multiply(const ep_product *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_ROWS(ep_multiply_row)
}
