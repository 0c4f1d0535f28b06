/* Calls statement for each pair of elements x and y of two operands that are repeated along some dimensions. */
#define EP_FOR_PAIRS(type, statement)                                                      \
  const int32_t *const n = layer->sizes;                                                   \
  const int32_t *const s = layer->first_steps;                                             \
  const int32_t *const t = layer->second_steps;                                            \
  for (int32_t i = 0; i < n[0]; ++i) {                                                     \
    for (int32_t j = 0; j < n[1]; ++j) {                                                   \
      for (int32_t k = 0; k < n[2]; ++k) {                                                 \
        for (int32_t l = 0; l < n[3]; ++l) {                                               \
          const type x = first[i * s[0] + j * s[1] + k * s[2] + l * s[3]];                 \
          const type y = second[i * t[0] + j * t[1] + k * t[2] + l * t[3]];                \
          statement;                                                                       \
        }                                                                                  \
      }                                                                                    \
    }                                                                                      \
  }
