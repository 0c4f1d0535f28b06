/* Reduction of some dimensions. sizes and steps (in elements) of the dimensions that are kept and of those that are not. */
typedef struct {
  int32_t kept[3], kept_steps[3];
  int32_t reduced[3], reduced_steps[3];
  int32_t count; /* of elements for each result */
  int32_t multiplier, shift; /* of the mean */
  int32_t in_sum; /* zero point of the input times count */
  int32_t out_offset;
} ep_reduction;

void ep_reduce_max(const ep_reduction *layer, const int8_t *in, int8_t *out);
void ep_reduce_min(const ep_reduction *layer, const int8_t *in, int8_t *out);
void ep_mean(const ep_reduction *layer, const int8_t *in, int8_t *out);
