/* Copy of a box of up to five dimensions. steps: elements to the next index in the input and in the output. */
typedef struct {
  int32_t sizes[5];
  int32_t in_steps[5];
  int32_t out_steps[5];
  int32_t run; /* bytes of each copied piece, which lie together in both */
} ep_movement;

void ep_move(const ep_movement *layer, const int8_t *in, int8_t *out);
