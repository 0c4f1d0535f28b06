/* Depthwise convolution. weights: (kernel_rows, kernel_columns, out_channels); out_channels is a multiple of in_channels. */
typedef struct {
  ep_window window;
  ep_outputs outputs;
  const int8_t *weights;
  int16_t in_offset;
} ep_depthwise;

void ep_convolve_depthwise(const ep_depthwise *layer, const int8_t *in, int8_t *out);
