/* Operand of a product of matrices. steps: elements to the next matrix of three dimensions, row (of the first operand) or
 * column (of the second one), and factor. */
typedef struct {
  int32_t steps[3];
  int32_t line_step, inner_step;
  int32_t offset;
} ep_factor;

/* Products of batches of matrices of activations. */
typedef struct {
  int32_t batches[3];
  int32_t rows, columns, inner;
  ep_factor first, second;
  int32_t multiplier, shift, out_offset;
} ep_matrix_product;

void ep_multiply_matrices(const ep_matrix_product *layer, const int8_t *first, const int8_t *second, int8_t *out);
