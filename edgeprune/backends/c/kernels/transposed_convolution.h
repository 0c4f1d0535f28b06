/* Transposed convolution. weights: (out_channels, kernel_rows, kernel_columns, in_channels). The window moves over the
 * output, which has the strides and the padding; dilation is 1. */
typedef struct {
  ep_window window;
  ep_outputs outputs;
  const int8_t *weights;
  int16_t in_offset;
} ep_transposed_convolution;

void ep_convolve_transposed(const ep_transposed_convolution *layer, const int8_t *in, int8_t *out);
