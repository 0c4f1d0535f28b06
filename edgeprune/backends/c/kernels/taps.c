/* First and last tap of a window that lies inside the image. */
typedef struct {
  int32_t first, end;
} ep_taps;

/* Returns the taps of the window at start (before the image if negative) that lie inside the image. */
static ep_taps ep_inside(int32_t start, int32_t size, int32_t kernel, int32_t dilation) {
  ep_taps taps = {0, kernel};
  if (start < 0) {
    taps.first = (-start + dilation - 1) / dilation;
  }
  if (start + (kernel - 1) * dilation >= size) {
    taps.end = (size - start + dilation - 1) / dilation;
  }
  return taps;
}
