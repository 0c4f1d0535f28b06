/* Computes the channels of one pixel whose window is cut off at a column of weights that does not begin a word. */
static void ep_cut_pixel(const ep_patch *patch, const ep_outputs *outputs, const int8_t *in, const int8_t *weights,
                         int32_t column, int32_t row_size, int32_t channels, int8_t *out) {
  for (int32_t channel = 0; channel < channels; ++channel) {
    const int8_t *const pair = weights + (channel >> 1) * patch->pair_weights;
    int32_t sum = outputs->bias[channel];
    for (int32_t line = 0; line < patch->lines; ++line) {
      const int8_t *const x = in + line * patch->line_step;
      const int8_t *const w = pair + line * patch->line_weights;
      for (int32_t i = column; i < column + patch->size; ++i) {
        const int in_words = i < (row_size & ~3);
        const int32_t at = in_words ? (i & ~3) * 2 + (channel & 1) * 4 + (i & 3) : i * 2 + (channel & 1);
        sum += (x[i - column] + patch->offset) * w[at];
      }
    }
    out[channel] = ep_output(outputs, channel, sum);
  }
}

void ep_convolve(const ep_convolution *layer, const int8_t *in, int8_t *out) {
  const ep_window *window = &layer->window;
  const int32_t depth = window->in_channels / layer->groups;
  const int32_t group_channels = window->out_channels / layer->groups;
  const int32_t row_size = window->kernel_columns * depth;
  const int32_t tap_step = window->dilation_columns * window->in_channels;
  /* A row of taps lies together without dilation and groups; otherwise, each tap is a run of its own. */
  const int together = layer->groups == 1 && window->dilation_columns == 1;
  ep_patch patch;
  patch.line_step = window->dilation_rows * window->in_columns * window->in_channels;
  patch.run_step = tap_step;
  patch.line_weights = row_size * 2;
  patch.run_weights = depth * 2;
  patch.pair_weights = window->kernel_rows * patch.line_weights;
  patch.pixel_step = window->stride_columns * window->in_channels;
  patch.offset = layer->in_offset;

  for (int32_t y = 0; y < window->out_rows; ++y) {
    const int32_t in_y = y * window->stride_rows - window->pad_rows;
    const ep_taps rows = ep_inside(in_y, window->in_rows, window->kernel_rows, window->dilation_rows);
    patch.lines = rows.end - rows.first;
    int32_t x = 0;
    while (x < window->out_columns) {
      const int32_t in_x = x * window->stride_columns - window->pad_columns;
      const ep_taps columns = ep_inside(in_x, window->in_columns, window->kernel_columns, window->dilation_columns);
      const int32_t taps = columns.end - columns.first;
      const int32_t last_x = in_x + window->stride_columns + (window->kernel_columns - 1) * window->dilation_columns;
      const int two = in_x >= 0 && x + 1 < window->out_columns && last_x < window->in_columns;
      const int32_t column = columns.first * depth;
      const int8_t *from = in + ((in_y + rows.first * window->dilation_rows) * window->in_columns + in_x) *
                                    window->in_channels + columns.first * tap_step;
      const int8_t *weights = layer->weights + rows.first * patch.line_weights;
      const int whole = together && taps == window->kernel_columns && patch.lines == window->kernel_rows;
      patch.runs = together ? 1 : taps;
      patch.size = together ? taps * depth : depth;
      if (together && ((column | patch.size) & 3) != 0 && taps != window->kernel_columns) {
        ep_cut_pixel(&patch, &layer->outputs, from, weights, column, row_size, window->out_channels, out);
      } else {
        weights += column * 2;
        for (int32_t channel = 0; channel < window->out_channels; channel += group_channels) {
          const int32_t end = channel + group_channels;
          if (two && whole) {
            ep_two_whole(&patch, &layer->outputs, layer->whole_bias, from, weights, end, out, out + end);
          } else if (two) {
            ep_two_pixels(&patch, &layer->outputs, from, weights, channel, end, out, out + window->out_channels);
          } else {
            ep_one_pixel(&patch, &layer->outputs, from, weights, channel, end, out);
          }
          from += depth;
          weights += (group_channels + 1) / 2 * patch.pair_weights;
        }
      }
      out += window->out_channels << two;
      x += 1 + two;
    }
  }
}
