/* Fully connected layer. weights: (out_size, in_size), in interleaved pairs of rows, the last one with zeros if it is odd. */
typedef struct {
  ep_outputs outputs;
  const int8_t *weights;
  int32_t rows; /* samples, steps or positions */
  int32_t in_size, out_size;
  int16_t in_offset;
} ep_dense;

void ep_connect(const ep_dense *layer, const int8_t *in, int8_t *out);
