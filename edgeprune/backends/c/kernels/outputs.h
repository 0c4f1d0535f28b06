/* Factors and limits of the outputs of a layer. */
typedef struct {
  const int32_t *bias;
  const int32_t *multipliers;
  const int8_t *shifts;
  int16_t out_offset;
  int16_t low;
  int16_t high;
} ep_outputs;
