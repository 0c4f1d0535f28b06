void ep_connect(const ep_dense *layer, const int8_t *in, int8_t *out) {
  ep_patch patch = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  patch.size = layer->in_size;
  patch.pair_weights = 2 * layer->in_size;
  patch.pixel_step = layer->in_size;
  patch.offset = layer->in_offset;
  int32_t row = 0;
  for (; row + 2 <= layer->rows; row += 2) {
    ep_two_pixels(&patch, &layer->outputs, in, layer->weights, 0, layer->out_size, out, out + layer->out_size);
    in += 2 * layer->in_size;
    out += 2 * layer->out_size;
  }
  if (row < layer->rows) {
    ep_one_pixel(&patch, &layer->outputs, in, layer->weights, 0, layer->out_size, out);
  }
}
