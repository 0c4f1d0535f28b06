/* Replaces each of size values by its entry in table, which begins with that of -128. */
void ep_look_up(const int8_t *table, int32_t size, const int8_t *in, int8_t *out);
