/* Computes the mean, or else the maximum, of each window. */
static void ep_pool(const ep_pooling *layer, const int8_t *in, int8_t *out, int mean) {
  const ep_window *window = &layer->window;
  const int32_t channels = window->in_channels;
  for (int32_t y = 0; y < window->out_rows; ++y) {
    const int32_t in_y = y * window->stride_rows - window->pad_rows;
    const ep_taps rows = ep_inside(in_y, window->in_rows, window->kernel_rows, 1);
    for (int32_t x = 0; x < window->out_columns; ++x) {
      const int32_t in_x = x * window->stride_columns - window->pad_columns;
      const ep_taps columns = ep_inside(in_x, window->in_columns, window->kernel_columns, 1);
      const int32_t count = (rows.end - rows.first) * (columns.end - columns.first);
      for (int32_t channel = 0; channel < channels; ++channel) {
        int32_t result = mean ? 0 : INT8_MIN;
        for (int32_t row = rows.first; row < rows.end; ++row) {
          const int8_t *values =
              in + ((in_y + row) * window->in_columns + in_x + columns.first) * channels + channel;
          for (int32_t column = columns.first; column < columns.end; ++column) {
            result = mean ? result + *values : (*values > result ? *values : result);
            values += channels;
          }
        }
        if (mean) {
          result = (result + (result > 0 ? count / 2 : -(count / 2))) / count;
        }
        *out++ = (int8_t)ep_clamp(result, layer->low, layer->high);
      }
    }
  }
}

void ep_pool_average(const ep_pooling *layer, const int8_t *in, int8_t *out) { ep_pool(layer, in, out, 1); }

void ep_pool_max(const ep_pooling *layer, const int8_t *in, int8_t *out) { ep_pool(layer, in, out, 0); }
