/* Pooling over a window. */
typedef struct {
  ep_window window;
  int16_t low, high;
} ep_pooling;

void ep_pool_average(const ep_pooling *layer, const int8_t *in, int8_t *out);
void ep_pool_max(const ep_pooling *layer, const int8_t *in, int8_t *out);
