// A kernel that no operator of the model needs: it must not be in the image.
extern const char kUnusedKernel[];
const char kUnusedKernel[1 << 16] = "a kernel that nothing refers to";
#ifndef CMSIS_NN
#error "kernels of CMSIS-NN are wanted"
#endif
