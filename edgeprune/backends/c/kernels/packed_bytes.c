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

/* Adds the products of four columns of two rows of activations and a pair of rows of weights. In assembly, because
 * compilers keep too few values in registers. */
#define EP_DOT_WORD                                                                                               \
  "ldr %[t0], [%[x0]], #4\n\t"                                                                                    \
  "ldr %[t1], [%[x1]], #4\n\t"                                                                                    \
  "ldr %[t4], [%[w]], #4\n\t"                                                                                     \
  "sxtb16 %[t2], %[t0]\n\t"                                                                                       \
  "sxtb16 %[t3], %[t1]\n\t"                                                                                       \
  "sxtb16 %[t5], %[t4]\n\t"                                                                                       \
  "smlad %[s00], %[t2], %[t5], %[s00]\n\t"                                                                        \
  "smlad %[s10], %[t3], %[t5], %[s10]\n\t"                                                                        \
  "sxtb16 %[t0], %[t0], ror #8\n\t"                                                                               \
  "sxtb16 %[t1], %[t1], ror #8\n\t"                                                                               \
  "sxtb16 %[t4], %[t4], ror #8\n\t"                                                                               \
  "smlad %[s00], %[t0], %[t4], %[s00]\n\t"                                                                        \
  "smlad %[s10], %[t1], %[t4], %[s10]\n\t"                                                                        \
  "ldr %[t4], [%[w]], #4\n\t"                                                                                     \
  "sxtb16 %[t5], %[t4]\n\t"                                                                                       \
  "sxtb16 %[t4], %[t4], ror #8\n\t"                                                                               \
  "smlad %[s01], %[t2], %[t5], %[s01]\n\t"                                                                        \
  "smlad %[s11], %[t3], %[t5], %[s11]\n\t"                                                                        \
  "smlad %[s01], %[t0], %[t4], %[s01]\n\t"                                                                        \
  "smlad %[s11], %[t1], %[t4], %[s11]\n\t"

#define EP_DOT_OPERANDS(x0, x1, w, s00, s01, s10, s11)                                                            \
  [x0] "+r"(x0), [x1] "+r"(x1), [w] "+r"(w), [s00] "+r"(s00), [s01] "+r"(s01), [s10] "+r"(s10), [s11] "+r"(s11),  \
      [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [t4] "=&r"(t4), [t5] "=&r"(t5)

/* Adds the products of size columns, a multiple of four: 21.5 instructions for 16 products. */
#define EP_DOT_WORDS(x0, x1, w, size, s00, s01, s10, s11)                                                         \
  do {                                                                                                            \
    uint32_t t0, t1, t2, t3, t4, t5;                                                                              \
    if (((size) & 4) != 0) {                                                                                      \
      __asm__ volatile(EP_DOT_WORD : EP_DOT_OPERANDS(x0, x1, w, s00, s01, s10, s11) : : "memory");                \
    }                                                                                                             \
    if ((size) > 4) {                                                                                             \
      const int8_t *const dot_end = (x0) + ((size) & ~7);                                                         \
      __asm__ volatile("1:\n\t" EP_DOT_WORD EP_DOT_WORD                                                           \
                       "ldr %[t5], %[end]\n\t"                                                                    \
                       "cmp %[x0], %[t5]\n\t"                                                                     \
                       "bne 1b"                                                                                   \
                       : EP_DOT_OPERANDS(x0, x1, w, s00, s01, s10, s11)                                           \
                       : [end] "m"(dot_end)                                                                       \
                       : "cc", "memory");                                                                         \
    }                                                                                                             \
  } while (0)
#else
/* Adds the products of size columns, a multiple of four, of two rows of activations and a pair of rows of weights. */
#define EP_DOT_WORDS(x0, x1, w, size, s00, s01, s10, s11)                                                         \
  do {                                                                                                            \
    for (int32_t word = 0; word < (size); word += 4) {                                                            \
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
