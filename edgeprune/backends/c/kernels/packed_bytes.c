#if EP_DSP
/* Returns four bytes as one word, from any address. */
static inline uint32_t ep_word(const int8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/* Returns the bytes 0 and 2 of a word as halfwords, plus those of offsets. */
static inline int16x2_t ep_even(int16x2_t offsets, uint32_t word) { return __sxtab16(offsets, (int8x4_t)word); }

/* Returns the bytes 1 and 3 of a word as halfwords, plus those of offsets. Compilers do not join rotation and extension. */
static inline int16x2_t ep_odd(int16x2_t offsets, uint32_t word) {
  int16x2_t result;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(offsets), "r"(word));
  return result;
}

/* Returns the bytes 1 and 3 of a word as halfwords. */
static inline int16x2_t ep_odd_plain(uint32_t word) {
  int16x2_t result;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
  return result;
}

/* Adds the products of two rows of activations, from *x0 and *x1, and a pair of rows of weights, up to the activations at
 * end, in steps of four. In assembly because compilers keep too few values in registers: 23 instructions for 16 products. */
#define EP_DOT_WORDS(x0, x1, w, end, s00, s01, s10, s11)                                                          \
  do {                                                                                                            \
    uint32_t t0, t1, t2, t3, t4, t5;                                                                              \
    __asm__ volatile(                                                                                             \
        "1:\n\t"                                                                                                  \
        "ldr %[t0], [%[a]], #4\n\t"                                                                               \
        "ldr %[t1], [%[b]], #4\n\t"                                                                               \
        "ldr %[t4], [%[v]], #4\n\t"                                                                               \
        "sxtb16 %[t2], %[t0]\n\t"                                                                                 \
        "sxtb16 %[t3], %[t1]\n\t"                                                                                 \
        "sxtb16 %[t5], %[t4]\n\t"                                                                                 \
        "smlad %[p], %[t2], %[t5], %[p]\n\t"                                                                      \
        "smlad %[r], %[t3], %[t5], %[r]\n\t"                                                                      \
        "sxtb16 %[t0], %[t0], ror #8\n\t"                                                                         \
        "sxtb16 %[t1], %[t1], ror #8\n\t"                                                                         \
        "sxtb16 %[t4], %[t4], ror #8\n\t"                                                                         \
        "smlad %[p], %[t0], %[t4], %[p]\n\t"                                                                      \
        "smlad %[r], %[t1], %[t4], %[r]\n\t"                                                                      \
        "ldr %[t4], [%[v]], #4\n\t"                                                                               \
        "sxtb16 %[t5], %[t4]\n\t"                                                                                 \
        "sxtb16 %[t4], %[t4], ror #8\n\t"                                                                         \
        "smlad %[q], %[t2], %[t5], %[q]\n\t"                                                                      \
        "smlad %[s], %[t3], %[t5], %[s]\n\t"                                                                      \
        "ldr %[t5], %[e]\n\t"                                                                                     \
        "smlad %[q], %[t0], %[t4], %[q]\n\t"                                                                      \
        "smlad %[s], %[t1], %[t4], %[s]\n\t"                                                                      \
        "cmp %[a], %[t5]\n\t"                                                                                     \
        "bne 1b"                                                                                                  \
        : [a] "+r"(x0), [b] "+r"(x1), [v] "+r"(w), [p] "+r"(s00), [q] "+r"(s01), [r] "+r"(s10), [s] "+r"(s11),    \
          [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [t4] "=&r"(t4), [t5] "=&r"(t5)          \
        : [e] "m"(end)                                                                                            \
        : "cc", "memory");                                                                                        \
  } while (0)
#else
#define EP_DOT_WORDS(x0, x1, w, end, s00, s01, s10, s11)                                                          \
  do {                                                                                                            \
    while ((x0) != (end)) {                                                                                       \
      for (int32_t i = 0; i < 4; ++i) {                                                                           \
        (s00) += (x0)[i] * (w)[i];                                                                                \
        (s01) += (x0)[i] * (w)[4 + i];                                                                            \
        (s10) += (x1)[i] * (w)[i];                                                                                \
        (s11) += (x1)[i] * (w)[4 + i];                                                                            \
      }                                                                                                           \
      (x0) += 4;                                                                                                  \
      (x1) += 4;                                                                                                  \
      (w) += 8;                                                                                                   \
    }                                                                                                             \
  } while (0)
#endif
