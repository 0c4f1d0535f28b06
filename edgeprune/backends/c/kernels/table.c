void ep_look_up(const int8_t *table, int32_t size, const int8_t *in, int8_t *out) {
  for (int32_t i = 0; i < size; ++i) {
    out[i] = table[in[i] + 128];
  }
}
