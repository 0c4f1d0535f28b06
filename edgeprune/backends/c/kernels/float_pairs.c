static float ep_clamp_float(float value, float low, float high) {
  return value < low ? low : (value > high ? high : value);
}

void ep_add_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = ep_clamp_float(x + y, layer->low, layer->high))
}

void ep_sub_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = ep_clamp_float(x - y, layer->low, layer->high))
}

void ep_mul_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = ep_clamp_float(x * y, layer->low, layer->high))
}

void ep_div_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = ep_clamp_float(x / y, layer->low, layer->high))
}

void ep_maximum_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = x > y ? x : y)
}

void ep_minimum_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = x < y ? x : y)
}

void ep_prelu_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out) {
  EP_FOR_PAIRS(float, *out++ = x >= 0.0f ? x : x * y)
}
