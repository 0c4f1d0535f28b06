void ep_move(const ep_movement *layer, const int8_t *in, int8_t *out) {
  const int32_t *const n = layer->sizes;
  const int32_t *const s = layer->in_steps;
  const int32_t *const t = layer->out_steps;
  for (int32_t i = 0; i < n[0]; ++i) {
    for (int32_t j = 0; j < n[1]; ++j) {
      for (int32_t k = 0; k < n[2]; ++k) {
        for (int32_t l = 0; l < n[3]; ++l) {
          const int8_t *from = in + i * s[0] + j * s[1] + k * s[2] + l * s[3];
          int8_t *to = out + i * t[0] + j * t[1] + k * t[2] + l * t[3];
          for (int32_t m = 0; m < n[4]; ++m) {
            memcpy(to + m * t[4], from + m * s[4], (size_t)layer->run);
          }
        }
      }
    }
  }
}
