/* Copy of elements whose positions are chosen for each dimension. offsets: bytes from the beginning, for each index. */
typedef struct {
  int32_t sizes[4];
  const int32_t *offsets[4];
  int32_t run; /* bytes of each copied piece */
} ep_selection;

void ep_select(const ep_selection *layer, const int8_t *in, int8_t *out);
