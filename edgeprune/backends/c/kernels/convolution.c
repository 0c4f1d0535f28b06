/* First and last tap of a window that lies inside the image. */
typedef struct {
  int32_t first, end;
} ep_taps;

/* Returns the taps of the window at start (before the image if negative) that lie inside the image. */
static ep_taps ep_inside(int32_t start, int32_t size, int32_t kernel, int32_t dilation) {
  ep_taps taps = {0, kernel};
  if (start < 0) {
    taps.first = (-start + dilation - 1) / dilation;
  }
  if (start + (kernel - 1) * dilation >= size) {
    taps.end = (size - start + dilation - 1) / dilation;
  }
  return taps;
}

/* Returns the output of channel for its sum. */
static inline int8_t ep_output(const ep_outputs *outputs, int32_t channel, int32_t sum) {
  const int32_t scaled = ep_rescale(sum, outputs->multipliers[channel], outputs->shifts[channel]);
  return (int8_t)ep_clamp(scaled + outputs->out_offset, outputs->low, outputs->high);
}

void ep_convolve(const ep_convolution *layer, const int8_t *in, int8_t *out) {
  const ep_window *window = &layer->window;
  const ep_outputs *outputs = &layer->outputs;
  const int32_t depth = window->in_channels / layer->groups;
  const int32_t group_outputs = window->out_channels / layer->groups;
  const int32_t tap_size = depth;
  const int32_t row_size = window->kernel_columns * tap_size;
  const int32_t filter_size = window->kernel_rows * row_size;
  const int32_t pixel_step = window->stride_columns * window->in_channels;
  const int contiguous = layer->groups == 1 && window->dilation_columns == 1;

  for (int32_t y = 0; y < window->out_rows; ++y) {
    const int32_t in_y = y * window->stride_rows - window->pad_rows;
    const ep_taps rows = ep_inside(in_y, window->in_rows, window->kernel_rows, window->dilation_rows);
    int32_t x = 0;
    while (x < window->out_columns) {
      const int32_t in_x = x * window->stride_columns - window->pad_columns;
      const ep_taps columns = ep_inside(in_x, window->in_columns, window->kernel_columns, window->dilation_columns);
      const int32_t last_x = in_x + window->stride_columns + (window->kernel_columns - 1) * window->dilation_columns;
      const int pair = in_x >= 0 && x + 1 < window->out_columns && last_x < window->in_columns;
      /* A row of taps is contiguous without dilation and groups; otherwise, each tap is a row of its own. */
      const int32_t runs = contiguous ? 1 : columns.end - columns.first;
      const int32_t run_size = contiguous ? (columns.end - columns.first) * tap_size : tap_size;
      const int8_t *const second = in + (pair ? pixel_step : 0);
      for (int32_t group = 0; group < layer->groups; ++group) {
        const int32_t end = (group + 1) * group_outputs;
        for (int32_t channel = group * group_outputs; channel < end; channel += 2) {
          const int32_t other = channel + 1 < end ? channel + 1 : channel;
          const int8_t *const w0 = layer->weights + channel * filter_size;
          const int8_t *const w1 = layer->weights + other * filter_size;
          int32_t sums[4];
          sums[0] = sums[2] = outputs->bias[channel];
          sums[1] = sums[3] = outputs->bias[other];
          for (int32_t row = rows.first; row < rows.end; ++row) {
            const int32_t line = (in_y + row * window->dilation_rows) * window->in_columns;
            for (int32_t run = 0; run < runs; ++run) {
              const int32_t column = columns.first + run;
              const int32_t at =
                  (line + in_x + column * window->dilation_columns) * window->in_channels + group * depth;
              const int32_t weight = row * row_size + column * tap_size;
              ep_dot_2x2(in + at, second + at, w0 + weight, w1 + weight, run_size, outputs->in_offset, sums);
            }
          }
          out[channel] = ep_output(outputs, channel, sums[0]);
          out[other] = ep_output(outputs, other, sums[1]);
          if (pair) {
            out[window->out_channels + channel] = ep_output(outputs, channel, sums[2]);
            out[window->out_channels + other] = ep_output(outputs, other, sums[3]);
          }
        }
      }
      out += window->out_channels << pair;
      x += 1 + pair;
    }
  }
}
