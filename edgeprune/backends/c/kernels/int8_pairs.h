/* Operator on pairs of elements over sizes of (up to) four dimensions. steps: elements to the next index of each dimension,
 * 0 where the operand is repeated. */
typedef struct {
  int32_t sizes[4], first_steps[4], second_steps[4];
  int32_t first_offset, second_offset, out_offset;
  int32_t multiplier, shift;
  int32_t positive_multiplier, positive_shift; /* of a PReLU */
  int32_t low, high;
} ep_pairs;

void ep_maximum(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out);
void ep_minimum(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out);
void ep_divide(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out);
void ep_parametric_relu(const ep_pairs *layer, const int8_t *first, const int8_t *second, int8_t *out);
