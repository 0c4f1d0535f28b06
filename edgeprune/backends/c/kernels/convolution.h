/* Convolution. weights: (out_channels, kernel_rows, kernel_columns, in_channels / groups), in interleaved pairs of
 * channels; see the kernel. In a group with an odd number of channels, the last one is paired with zeros. */
typedef struct {
  ep_window window;
  ep_outputs outputs;
  const int8_t *weights;
  const int32_t *whole_bias; /* bias plus in_offset times the sum of the weights, for windows inside the image */
  int16_t in_offset;
  int16_t groups;
} ep_convolution;

void ep_convolve(const ep_convolution *layer, const int8_t *in, int8_t *out);
