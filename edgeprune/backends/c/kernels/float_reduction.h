#include <float.h>

void ep_reduce_max_floats(const ep_reduction *layer, const float *in, float *out);
void ep_reduce_min_floats(const ep_reduction *layer, const float *in, float *out);
void ep_sum_floats(const ep_reduction *layer, const float *in, float *out);
void ep_mean_floats(const ep_reduction *layer, const float *in, float *out);
