/* Returns 1 / (1 + x) times 2^31, for x times 2^31 from 0 to 2^31 - 1: three steps of Newton's method. */
static int32_t ep_reciprocal(int32_t x) {
  const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  /* 48 / 17 - 32 / 17 d is near 1 / d; two bits before the point. */
  int32_t estimate = 1515870810 + ep_doubling_high(half_denominator, -1010580540);
  for (int step = 0; step < 3; ++step) {
    const int32_t error = (INT32_C(1) << 29) - ep_doubling_high(half_denominator, estimate);
    const int64_t change = (int64_t)ep_doubling_high(estimate, error) * 4;
    const int64_t next = estimate + (change > INT32_MAX ? INT32_MAX : (change < INT32_MIN ? INT32_MIN : change));
    estimate = (int32_t)next;
  }
  return estimate > (INT32_MAX >> 1) ? INT32_MAX : (estimate < -(INT32_C(1) << 30) ? INT32_MIN : estimate * 2);
}

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
