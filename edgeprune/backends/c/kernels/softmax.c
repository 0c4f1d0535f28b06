void ep_normalize_exponentials(const ep_softmax *layer, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < layer->rows; ++row) {
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < layer->size; ++i) {
      largest = in[i] > largest ? in[i] : largest;
    }
    int32_t sum = 0; /* with 12 bits before the point */
    for (int32_t i = 0; i < layer->size; ++i) {
      const int32_t distance = largest - in[i];
      if (distance < layer->entries) {
        sum += ep_divide_by_power(layer->exponentials[distance], 12);
      }
    }
    int32_t zeros = 0;
    while ((((uint32_t)sum << zeros) & 0x80000000U) == 0U) {
      ++zeros;
    }
    const int32_t scale = ep_reciprocal((int32_t)(((uint32_t)sum << zeros) - 0x80000000U));
    const int32_t exponent = 12 - zeros + 31 - 8;
    for (int32_t i = 0; i < layer->size; ++i) {
      const int32_t distance = largest - in[i];
      int32_t value = INT8_MIN;
      if (distance < layer->entries) {
        value += ep_divide_by_power(ep_doubling_high(scale, layer->exponentials[distance]), exponent);
      }
      out[i] = (int8_t)ep_clamp(value, INT8_MIN, INT8_MAX);
    }
    in += layer->size;
    out += layer->size;
  }
}
