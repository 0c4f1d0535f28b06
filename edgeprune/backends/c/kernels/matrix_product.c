/* Computes the product of two matrices, and returns the end of its output. */
static int8_t *ep_multiply_two(const ep_matrix_product *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  for (int32_t row = 0; row < layer->rows; ++row) {
    for (int32_t column = 0; column < layer->columns; ++column) {
      const int8_t *x = first + row * layer->first.line_step;
      const int8_t *y = second + column * layer->second.line_step;
      int32_t sum = 0;
      for (int32_t i = 0; i < layer->inner; ++i) {
        sum += (*x + layer->first.offset) * (*y + layer->second.offset);
        x += layer->first.inner_step;
        y += layer->second.inner_step;
      }
      const int32_t scaled = ep_rescale(sum, layer->multiplier, layer->shift) + layer->out_offset;
      *out++ = (int8_t)ep_clamp(scaled, INT8_MIN, INT8_MAX);
    }
  }
  return out;
}

void ep_multiply_matrices(const ep_matrix_product *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  const int32_t *const n = layer->batches;
  const int32_t *const s = layer->first.steps;
  const int32_t *const t = layer->second.steps;
  for (int32_t i = 0; i < n[0]; ++i) {
    for (int32_t j = 0; j < n[1]; ++j) {
      for (int32_t k = 0; k < n[2]; ++k) {
        out = ep_multiply_two(layer, first + i * s[0] + j * s[1] + k * s[2], second + i * t[0] + j * t[1] + k * t[2],
                              out);
      }
    }
  }
}
