/* Returns the output of channel for its sum. */
static inline int8_t ep_output(const ep_outputs *outputs, int32_t channel, int32_t sum) {
  const int32_t scaled = ep_rescale(sum, outputs->multipliers[channel], outputs->shifts[channel]);
  return (int8_t)ep_clamp(scaled + outputs->out_offset, outputs->low, outputs->high);
}
