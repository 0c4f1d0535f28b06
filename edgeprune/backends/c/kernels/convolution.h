/* Sizes, strides and padding of a window that moves over an image of (rows, columns, channels). */
typedef struct {
  int16_t in_rows, in_columns, in_channels;
  int16_t out_rows, out_columns, out_channels;
  int16_t kernel_rows, kernel_columns;
  int16_t stride_rows, stride_columns;
  int16_t dilation_rows, dilation_columns;
  int16_t pad_rows, pad_columns; /* before the first row and column */
} ep_window;

/* Factors and limits of the outputs of a layer. */
typedef struct {
  const int32_t *bias;
  const int32_t *multipliers;
  const int8_t *shifts;
  int16_t out_offset;
  int16_t low;
  int16_t high;
} ep_outputs;

/* Convolution. weights: (out_channels, kernel_rows, kernel_columns, in_channels / groups), in interleaved pairs of
 * channels; see the kernel. In a group with an odd number of channels, the last one is paired with zeros. */
typedef struct {
  ep_window window;
  ep_outputs outputs;
  const int8_t *weights;
  int16_t in_offset;
  int16_t groups;
} ep_convolution;

void ep_convolve(const ep_convolution *layer, const int8_t *in, int8_t *out);
