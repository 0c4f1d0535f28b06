/* Returns the products of one input pixel and the weights of one tap. */
static int32_t ep_products(const int8_t *in, const int8_t *weights, int32_t channels, int32_t offset) {
  int32_t sum = 0;
  for (int32_t channel = 0; channel < channels; ++channel) {
    sum += (in[channel] + offset) * weights[channel];
  }
  return sum;
}

void ep_convolve_transposed(const ep_transposed_convolution *layer, const int8_t *in, int8_t *out) {
  const ep_window *window = &layer->window;
  const int32_t depth = window->in_channels;
  const int32_t kernel_size = window->kernel_rows * window->kernel_columns * depth;
  for (int32_t y = 0; y < window->out_rows; ++y) {
    for (int32_t x = 0; x < window->out_columns; ++x) {
      for (int32_t channel = 0; channel < window->out_channels; ++channel) {
        const int8_t *const weights = layer->weights + channel * kernel_size;
        int32_t sum = layer->outputs.bias[channel];
        /* The taps that meet an input pixel are a stride apart. */
        const int32_t first_row = (y + window->pad_rows) % window->stride_rows;
        const int32_t first_column = (x + window->pad_columns) % window->stride_columns;
        for (int32_t row = first_row; row < window->kernel_rows; row += window->stride_rows) {
          const int32_t in_y = (y + window->pad_rows - row) / window->stride_rows;
          if (y + window->pad_rows < row || in_y >= window->in_rows) {
            continue;
          }
          for (int32_t column = first_column; column < window->kernel_columns; column += window->stride_columns) {
            const int32_t in_x = (x + window->pad_columns - column) / window->stride_columns;
            if (x + window->pad_columns < column || in_x >= window->in_columns) {
              continue;
            }
            sum += ep_products(in + (in_y * window->in_columns + in_x) * depth,
                               weights + (row * window->kernel_columns + column) * depth, depth, layer->in_offset);
          }
        }
        *out++ = ep_output(&layer->outputs, channel, sum);
      }
    }
  }
}
