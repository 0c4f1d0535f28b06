/* Sizes of an element-wise operator in (up to) four dimensions, and elements to the next index of each operand: 0 where an
 * operand is repeated. */
typedef struct {
  int32_t sizes[4];
  int32_t first_steps[4];
  int32_t second_steps[4];
} ep_broadcast;

/* Offsets that are added to operands and result, and limits of the result. */
typedef struct {
  int16_t first, second, result;
  int16_t low, high;
} ep_offsets;

/* Sum or difference of two operands. The first has the larger scale, half of which is the common scale of the sum. */
typedef struct {
  ep_broadcast broadcast;
  ep_offsets offsets;
  int8_t first_sign, second_sign;
  int32_t second_multiplier, second_shift;
  int32_t multiplier, shift;
} ep_addition;

/* Product of two operands. */
typedef struct {
  ep_broadcast broadcast;
  ep_offsets offsets;
  int32_t multiplier, shift;
} ep_product;

void ep_add(const ep_addition *layer, const int8_t *first, const int8_t *second, int8_t *out);
void ep_multiply(const ep_product *layer, const int8_t *first, const int8_t *second, int8_t *out);
