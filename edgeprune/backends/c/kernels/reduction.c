/* Sets result for each output to the reduction of its elements: result = start, then statement for each value x. */
#define EP_REDUCE(type, start, statement, finish)                                          \
  const int32_t *const n = layer->kept;                                                    \
  const int32_t *const m = layer->reduced;                                                 \
  const int32_t *const s = layer->kept_steps;                                              \
  const int32_t *const t = layer->reduced_steps;                                           \
  for (int32_t i = 0; i < n[0]; ++i) {                                                     \
    for (int32_t j = 0; j < n[1]; ++j) {                                                   \
      for (int32_t k = 0; k < n[2]; ++k) {                                                 \
        type result = start;                                                               \
        for (int32_t a = 0; a < m[0]; ++a) {                                               \
          for (int32_t b = 0; b < m[1]; ++b) {                                             \
            for (int32_t c = 0; c < m[2]; ++c) {                                           \
              const type x =                                                               \
                  in[i * s[0] + j * s[1] + k * s[2] + a * t[0] + b * t[1] + c * t[2]];     \
              statement;                                                                   \
            }                                                                              \
          }                                                                                \
        }                                                                                  \
        *out++ = finish;                                                                   \
      }                                                                                    \
    }                                                                                      \
  }
