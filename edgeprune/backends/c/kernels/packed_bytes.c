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
#endif
