void ep_connect(const ep_dense *layer, const int8_t *in, int8_t *out) {
  const ep_outputs *outputs = &layer->outputs;
  for (int32_t row = 0; row < layer->rows; ++row) {
    const int8_t *weights = layer->weights;
    for (int32_t channel = 0; channel < layer->out_size; ++channel) {
      const int32_t sum = ep_dot(in, weights, layer->in_size, outputs->in_offset, outputs->bias[channel]);
      out[channel] = ep_output(outputs, channel, sum);
      weights += layer->in_size;
    }
    in += layer->in_size;
    out += layer->out_size;
  }
}
