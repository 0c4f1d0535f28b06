void ep_reduce_max(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, INT8_MIN, result = x > result ? x : result, (int8_t)result)
}

void ep_reduce_min(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, INT8_MAX, result = x < result ? x : result, (int8_t)result)
}

void ep_mean(const ep_reduction *layer, const int8_t *in, int8_t *out) {
  EP_REDUCE(int32_t, -layer->in_sum, result += x,
            (int8_t)ep_clamp(ep_rescale(result, layer->multiplier, layer->shift) + layer->out_offset, INT8_MIN, INT8_MAX))
}
