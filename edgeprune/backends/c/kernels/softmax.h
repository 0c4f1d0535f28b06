/* Softmax over rows of size values. exponentials: those of 0, -1, -2, ... steps of the input, times 2^31 - 1. */
typedef struct {
  const int32_t *exponentials;
  int32_t entries; /* of exponentials; smaller values count as 0 */
  int32_t rows, size;
} ep_softmax;

void ep_normalize_exponentials(const ep_softmax *layer, const int8_t *in, int8_t *out);
