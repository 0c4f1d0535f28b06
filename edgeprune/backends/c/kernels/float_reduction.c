void ep_reduce_max_floats(const ep_reduction *layer, const float *in, float *out) {
  EP_REDUCE(float, -FLT_MAX, result = x > result ? x : result, result)
}

void ep_reduce_min_floats(const ep_reduction *layer, const float *in, float *out) {
  EP_REDUCE(float, FLT_MAX, result = x < result ? x : result, result)
}

void ep_sum_floats(const ep_reduction *layer, const float *in, float *out) { EP_REDUCE(float, 0.0f, result += x, result) }

void ep_mean_floats(const ep_reduction *layer, const float *in, float *out) {
  EP_REDUCE(float, 0.0f, result += x, result / (float)layer->count)
}
