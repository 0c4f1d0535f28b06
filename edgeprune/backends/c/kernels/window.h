/* Sizes, strides and padding of a window that moves over an image of (rows, columns, channels). */
typedef struct {
  int16_t in_rows, in_columns, in_channels;
  int16_t out_rows, out_columns, out_channels;
  int16_t kernel_rows, kernel_columns;
  int16_t stride_rows, stride_columns;
  int16_t dilation_rows, dilation_columns;
  int16_t pad_rows, pad_columns; /* before the first row and column */
} ep_window;
