/* Operator on pairs of floats; see ep_pairs. */
typedef struct {
  int32_t sizes[4], first_steps[4], second_steps[4];
  float low, high;
} ep_float_pairs;

void ep_add_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_sub_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_mul_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_div_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_maximum_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_minimum_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
void ep_prelu_floats(const ep_float_pairs *layer, const float *first, const float *second, float *out);
