#define EP_LANES 4 /* channels that are summed at once */

void ep_convolve_depthwise(const ep_depthwise *layer, const int8_t *in, int8_t *out) {
  const ep_window *window = &layer->window;
  const ep_outputs *outputs = &layer->outputs;
  const int32_t channels = window->out_channels;
  const int32_t multiplier = channels / window->in_channels;

  for (int32_t y = 0; y < window->out_rows; ++y) {
    const int32_t in_y = y * window->stride_rows - window->pad_rows;
    const ep_taps rows = ep_inside(in_y, window->in_rows, window->kernel_rows, window->dilation_rows);
    for (int32_t x = 0; x < window->out_columns; ++x) {
      const int32_t in_x = x * window->stride_columns - window->pad_columns;
      const ep_taps columns = ep_inside(in_x, window->in_columns, window->kernel_columns, window->dilation_columns);
      int32_t channel = 0;
      if (multiplier == 1) {
        for (; channel + EP_LANES <= channels; channel += EP_LANES) {
          int32_t s0 = outputs->bias[channel];
          int32_t s1 = outputs->bias[channel + 1];
          int32_t s2 = outputs->bias[channel + 2];
          int32_t s3 = outputs->bias[channel + 3];
#if EP_DSP
          const int16x2_t offsets = (int16x2_t)(((uint32_t)layer->in_offset & 0xffffU) * 0x10001U);
#endif
          for (int32_t row = rows.first; row < rows.end; ++row) {
            const int32_t line = (in_y + row * window->dilation_rows) * window->in_columns + in_x;
            const int8_t *values =
                in + (line + columns.first * window->dilation_columns) * window->in_channels + channel;
            const int8_t *weights =
                layer->weights + (row * window->kernel_columns + columns.first) * channels + channel;
            for (int32_t column = columns.first; column < columns.end; ++column) {
#if EP_DSP
              const uint32_t xs = ep_word(values);
              const uint32_t ws = ep_word(weights);
              const int16x2_t xe = ep_even(offsets, xs);
              const int16x2_t xo = ep_odd(offsets, xs);
              const int16x2_t we = ep_even(0, ws);
              const int16x2_t wo = ep_odd(0, ws);
              s0 = __smlabb(xe, we, s0);
              s1 = __smlabb(xo, wo, s1);
              s2 = __smlatt(xe, we, s2);
              s3 = __smlatt(xo, wo, s3);
#else
              s0 += (values[0] + layer->in_offset) * weights[0];
              s1 += (values[1] + layer->in_offset) * weights[1];
              s2 += (values[2] + layer->in_offset) * weights[2];
              s3 += (values[3] + layer->in_offset) * weights[3];
#endif
              values += window->dilation_columns * window->in_channels;
              weights += channels;
            }
          }
          out[channel] = ep_output(outputs, channel, s0);
          out[channel + 1] = ep_output(outputs, channel + 1, s1);
          out[channel + 2] = ep_output(outputs, channel + 2, s2);
          out[channel + 3] = ep_output(outputs, channel + 3, s3);
        }
      }
      for (; channel < channels; ++channel) {
        int32_t sum = outputs->bias[channel];
        for (int32_t row = rows.first; row < rows.end; ++row) {
          const int32_t line = (in_y + row * window->dilation_rows) * window->in_columns + in_x;
          for (int32_t column = columns.first; column < columns.end; ++column) {
            const int32_t pixel = line + column * window->dilation_columns;
            sum += (in[pixel * window->in_channels + channel / multiplier] + layer->in_offset) *
                   layer->weights[(row * window->kernel_columns + column) * channels + channel];
          }
        }
        out[channel] = ep_output(outputs, channel, sum);
      }
      out += channels;
    }
  }
}
