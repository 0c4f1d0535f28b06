/* Returns 1 / (1 + x) times 2^31, for x times 2^31 from 0 to 2^31 - 1: three steps of Newton's method. */
static int32_t ep_reciprocal(int32_t x) {
  const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  /* 48 / 17 - 32 / 17 d is near 1 / d; two bits before the point. */
  int32_t estimate = 1515870810 + ep_doubling_high(half_denominator, -1010580540);
  for (int step = 0; step < 3; ++step) {
    const int32_t error = (INT32_C(1) << 29) - ep_doubling_high(half_denominator, estimate);
    const int64_t change = (int64_t)ep_doubling_high(estimate, error) * 4;
    const int64_t next = estimate + (change > INT32_MAX ? INT32_MAX : (change < INT32_MIN ? INT32_MIN : change));
    estimate = (int32_t)next;
  }
  return estimate > (INT32_MAX >> 1) ? INT32_MAX : (estimate < -(INT32_C(1) << 30) ? INT32_MIN : estimate * 2);
}
