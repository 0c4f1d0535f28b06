void ep_dequantize(float scale, int32_t zero_point, int32_t size, const int8_t *in, float *out);
void ep_quantize(float scale, int32_t zero_point, int32_t size, const float *in, int8_t *out);
