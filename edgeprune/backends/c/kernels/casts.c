#define EP_LARGE 1e6f /* a quotient beyond every int8 value, and within int32_t */

void ep_dequantize(float scale, int32_t zero_point, int32_t size, const int8_t *in, float *out) {
  for (int32_t i = 0; i < size; ++i) {
    out[i] = scale * (float)(in[i] - zero_point);
  }
}

void ep_quantize(float scale, int32_t zero_point, int32_t size, const float *in, int8_t *out) {
  for (int32_t i = 0; i < size; ++i) {
    float quotient = in[i] / scale;
    quotient = quotient < EP_LARGE ? (quotient > -EP_LARGE ? quotient : -EP_LARGE) : EP_LARGE;
    int32_t rounded = (int32_t)quotient; /* and then half away from zero */
    const float rest = quotient - (float)rounded;
    rounded += rest >= 0.5f ? 1 : (rest <= -0.5f ? -1 : 0);
    out[i] = (int8_t)ep_clamp(rounded + zero_point, INT8_MIN, INT8_MAX);
  }
}
