void ep_interpolate(const ep_resizing *layer, const int8_t *in, int8_t *out) {
  for (int32_t y = 0; y < layer->out_rows; ++y) {
    const int32_t *const row = layer->rows + 3 * y;
    for (int32_t x = 0; x < layer->out_columns; ++x) {
      const int32_t *const column = layer->columns + 3 * x;
      const int8_t *corners[2][2];
      for (int i = 0; i < 4; ++i) {
        corners[i / 2][i % 2] = in + row[i / 2] + column[i % 2];
      }
      for (int32_t channel = 0; channel < layer->channels; ++channel) {
        int32_t lines[2];
        for (int i = 0; i < 2; ++i) {
          lines[i] = corners[i][0][channel] * (1024 - column[2]) + corners[i][1][channel] * column[2];
        }
        const int32_t sum = lines[0] * (1024 - row[2]) + lines[1] * row[2];
        *out++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
      }
    }
  }
}
