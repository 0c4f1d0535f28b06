/* Operand of an element-wise operator. steps: elements to the next index of each dimension, 0 where it is repeated. */
typedef struct {
  int32_t steps[4];
  int32_t offset;
  int32_t multiplier, shift;
} ep_operand;

/* Sum, difference or product of two operands with broadcasting, over sizes of (up to) four dimensions. */
typedef struct {
  int32_t sizes[4];
  ep_operand first, second;
  int32_t multiplier, shift;
  int16_t out_offset, low, high;
} ep_arithmetic;

void ep_add(const ep_arithmetic *layer, const int8_t *first, const int8_t *second, int8_t *out);
void ep_multiply(const ep_arithmetic *layer, const int8_t *first, const int8_t *second, int8_t *out);
