void ep_reduce_max(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, INT8_MIN, result = x > result ? x : result, (int8_t)result)
}

void ep_reduce_min(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, INT8_MAX, result = x < result ? x : result, (int8_t)result)
}

/* Scales a sum before it is divided. */
static int8_t ep_mean_of_scaled(const ep_reduction *layer, int32_t sum) {
  const int32_t scaled = ep_rescale(sum, layer->multiplier, layer->shift);
  const int32_t half = layer->count / 2;
  const int32_t mean = (scaled > 0 ? scaled + half : scaled - half) / layer->count;
  return (int8_t)ep_clamp(mean + layer->out_offset, INT8_MIN, INT8_MAX);
}

void ep_mean(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, -layer->in_sum, result += x,
            (int8_t)ep_clamp(ep_rescale(result, layer->multiplier, layer->shift) + layer->out_offset, INT8_MIN, INT8_MAX))
}

void ep_mean_of_pixels(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, -layer->in_sum, result += x, ep_mean_of_scaled(layer, result))
}
