/* Bilinear interpolation of one image. rows and columns: for each of the output, offsets of two of the input in elements,
 * and 1024 times the weight of the second. */
typedef struct {
  const int32_t *rows, *columns;
  int32_t out_rows, out_columns, channels;
} ep_resizing;

void ep_interpolate(const ep_resizing *layer, const int8_t *in, int8_t *out);
