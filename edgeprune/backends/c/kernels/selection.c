void ep_select(const ep_selection *layer, const int8_t *in, int8_t *out) {
  const int32_t *const n = layer->sizes;
  for (int32_t i = 0; i < n[0]; ++i) {
    for (int32_t j = 0; j < n[1]; ++j) {
      for (int32_t k = 0; k < n[2]; ++k) {
        const int8_t *from = in + layer->offsets[0][i] + layer->offsets[1][j] + layer->offsets[2][k];
        for (int32_t l = 0; l < n[3]; ++l) {
          memcpy(out, from + layer->offsets[3][l], (size_t)layer->run);
          out += layer->run;
        }
      }
    }
  }
}
