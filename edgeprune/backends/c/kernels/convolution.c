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

/* Adds the products of one pixel and a pair of rows of weights, from a column of weights that does not begin a word. */
static void ep_dot_cut(const ep_patch *patch, const int8_t *in, const int8_t *weights, int32_t column, int32_t row_size,
                       int32_t *sums) {
  for (int32_t run = 0; run < patch->runs; ++run) {
    const int8_t *const x = in + run * patch->run_step;
    const int8_t *const line = weights + run * patch->weight_step;
    for (int32_t i = column; i < column + patch->size; ++i) {
      const int in_words = i < (row_size & ~3);
      const int8_t *const w = line + (in_words ? (i & ~3) * 2 + (i & 3) : i * 2);
      const int32_t a = x[i - column] + patch->offset;
      sums[0] += a * w[0];
      sums[1] += a * w[in_words ? 4 : 1];
    }
  }
}

/* Writes the outputs of a pair of channels of one pixel. */
static void ep_write_pair(const ep_outputs *outputs, int32_t channel, int second, const int32_t *sums, int8_t *out) {
  out[channel] = ep_output(outputs, channel, sums[0]);
  if (second) {
    out[channel + 1] = ep_output(outputs, channel + 1, sums[1]);
  }
}

void ep_convolve(const ep_convolution *layer, const int8_t *in, int8_t *out) {
  const ep_window *window = &layer->window;
  const ep_outputs *outputs = &layer->outputs;
  const int32_t depth = window->in_channels / layer->groups;
  const int32_t group_outputs = window->out_channels / layer->groups;
  const int32_t row_size = window->kernel_columns * depth;
  const int32_t pair_size = window->kernel_rows * row_size * 2;
  const int32_t line_step = window->dilation_rows * window->in_columns * window->in_channels;
  const int32_t tap_step = window->dilation_columns * window->in_channels;
  /* A row of taps lies together without dilation and groups; otherwise, each tap is a run of its own. */
  const int together = layer->groups == 1 && window->dilation_columns == 1;
  ep_patch patch;
  patch.pixel_step = window->stride_columns * window->in_channels;
  patch.offset = layer->in_offset;
  patch.run_step = together ? line_step : tap_step;
  patch.weight_step = (together ? row_size : depth) * 2;

  for (int32_t y = 0; y < window->out_rows; ++y) {
    const int32_t in_y = y * window->stride_rows - window->pad_rows;
    const ep_taps rows = ep_inside(in_y, window->in_rows, window->kernel_rows, window->dilation_rows);
    const int32_t lines = rows.end - rows.first;
    int32_t x = 0;
    while (x < window->out_columns) {
      const int32_t in_x = x * window->stride_columns - window->pad_columns;
      const ep_taps columns = ep_inside(in_x, window->in_columns, window->kernel_columns, window->dilation_columns);
      const int32_t taps = columns.end - columns.first;
      const int32_t last_x = in_x + window->stride_columns + (window->kernel_columns - 1) * window->dilation_columns;
      const int pair = in_x >= 0 && x + 1 < window->out_columns && last_x < window->in_columns;
      const int32_t column = columns.first * depth;
      const int8_t *const corner = in + ((in_y + rows.first * window->dilation_rows) * window->in_columns + in_x) *
                                            window->in_channels + columns.first * tap_step;
      patch.runs = together ? lines : taps;
      patch.size = together ? taps * depth : depth;
      const int cut = together && taps != window->kernel_columns && ((column | patch.size) & 3) != 0;
      const int8_t *weights = layer->weights + (rows.first * row_size + (cut ? 0 : column)) * 2;
      int32_t channel = 0;
      for (int32_t group = 0; group < layer->groups; ++group) {
        const int32_t end = channel + group_outputs;
        for (; channel < end; channel += 2) {
          const int second = channel + 1 < end;
          const int8_t *from = corner + group * depth;
          const int8_t *line = weights;
          int32_t sums[4];
          sums[0] = sums[2] = outputs->bias[channel];
          sums[1] = sums[3] = second ? outputs->bias[channel + 1] : 0;
          for (int32_t part = together ? 1 : lines; part > 0; --part) {
            if (cut) {
              ep_dot_cut(&patch, from, line, column, row_size, sums);
            } else if (pair) {
              ep_dot_pair(&patch, from, line, sums);
            } else {
              ep_dot_single(&patch, from, line, sums);
            }
            from += line_step;
            line += row_size * 2;
          }
          ep_write_pair(outputs, channel, second, sums, out);
          if (pair) {
            ep_write_pair(outputs, channel, second, sums + 2, out + window->out_channels);
          }
          weights += pair_size;
        }
        channel = end;
      }
      out += window->out_channels << pair;
      x += 1 + pair;
    }
  }
}
