void ep_connect(const ep_dense *layer, const int8_t *in, int8_t *out) {
  const ep_outputs *outputs = &layer->outputs;
  const ep_patch patch = {1, layer->in_size, 0, 0, layer->in_size, layer->in_offset};
  for (int32_t row = 0; row < layer->rows; row += 2) {
    const int pair = row + 1 < layer->rows;
    const int8_t *weights = layer->weights;
    for (int32_t channel = 0; channel < layer->out_size; channel += 2) {
      const int second = channel + 1 < layer->out_size;
      int32_t sums[4];
      sums[0] = sums[2] = outputs->bias[channel];
      sums[1] = sums[3] = second ? outputs->bias[channel + 1] : 0;
      if (pair) {
        ep_dot_pair(&patch, in, weights, sums);
        ep_write_pair(outputs, channel, second, sums + 2, out + layer->out_size);
      } else {
        ep_dot_single(&patch, in, weights, sums);
      }
      ep_write_pair(outputs, channel, second, sums, out);
      weights += 2 * layer->in_size;
    }
    in += 2 * layer->in_size;
    out += 2 * layer->out_size;
  }
}
