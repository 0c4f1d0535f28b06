void ep_maximum(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_PAIRS(int8_t, *out++ = x > y ? x : y)
}

void ep_minimum(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_PAIRS(int8_t, *out++ = x < y ? x : y)
}

/* Returns the number of leading zeros of value, which is not 0. */
static int32_t ep_leading_zeros(uint32_t value) {
  int32_t count = 0;
  for (; (value & 0x80000000U) == 0U; value <<= 1) {
    ++count;
  }
  return count;
}

static int8_t ep_quotient(const ep_pairs *layer, int32_t a, int32_t b) {
  if (a == 0 || b == 0) { /* a divisor of 0 gives the end of the range */
    const int32_t result = b != 0 || a == 0 ? layer->out_offset : (a > 0 ? layer->high : layer->low);
    return (int8_t)ep_clamp(result, layer->low, layer->high);
  }
  if (b < 0) {
    a = -a;
    b = -b;
  }
  const int32_t zeros = ep_leading_zeros((uint32_t)b);
  const int32_t reciprocal = ep_reciprocal((int32_t)(((uint32_t)b << zeros) - 0x80000000U));
  const int32_t headroom = a == -1 ? 31 : ep_leading_zeros((uint32_t)(a < 0 ? ~a : a)) - 1;
  const int32_t quotient = ep_doubling_high((int32_t)((uint32_t)a << headroom), reciprocal);
  const int32_t exponent = 31 - zeros + headroom - layer->shift;
  const int32_t scaled = ep_doubling_high(quotient, layer->multiplier);
  /* The reference kernel shifts by more than 31 bits here, which C does not define; the quotient rounds to 0. */
  const int32_t result = (exponent > 31 ? 0 : ep_divide_by_power(scaled, exponent)) + layer->out_offset;
  return (int8_t)ep_clamp(result, layer->low, layer->high);
}

void ep_divide(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_PAIRS(int32_t, *out++ = ep_quotient(layer, x + layer->first_offset, y + layer->second_offset))
}

static int8_t ep_parametric(const ep_pairs *layer, int32_t x, int32_t slope) {
  const int32_t scaled = x >= 0 ? ep_rescale(x, layer->positive_multiplier, layer->positive_shift)
                                : ep_rescale(x * slope, layer->multiplier, layer->shift);
  return (int8_t)ep_clamp(scaled + layer->out_offset, INT8_MIN, INT8_MAX);
}

void ep_parametric_relu(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out) {
  EP_FOR_PAIRS(int32_t, *out++ = ep_parametric(layer, x + layer->first_offset, y + layer->second_offset))
}
