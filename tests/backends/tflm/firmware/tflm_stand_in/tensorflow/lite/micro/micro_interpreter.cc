// Stands in for TensorFlow Lite Micro, whose sources are in no package: output i is the i-th byte of the input, through a
// float. The input is gone afterwards, as in an arena. Operators are timed as ScopedMicroProfiler does.
#include "tensorflow/lite/micro/micro_interpreter.h"

#include <cmath>
#include <cstring>

#include "tensorflow/lite/schema/schema_generated.h"

#ifndef NDEBUG
#error "not a release build"
#endif

namespace tflite {

constexpr size_t kTensorBytes = 4096;

const Model* GetModel(const void* buf) { return static_cast<const Model*>(buf); }

MicroInterpreter::MicroInterpreter(const Model* model, const MicroOpResolver&, uint8_t* tensor_arena,
                                   size_t tensor_arena_size, MicroResourceVariables*,
                                   MicroProfilerInterface* profiler, bool)
    : model_(reinterpret_cast<const unsigned char*>(model)),
      arena_(tensor_arena_size < 2 * kTensorBytes ? nullptr : tensor_arena),
      profiler_(profiler) {}

MicroInterpreter::~MicroInterpreter() {}

TfLiteStatus MicroInterpreter::AllocateTensors() {
  if (arena_ == nullptr || std::memcmp(model_ + 4, "TFL3", 4) != 0) return kTfLiteError;
  input_.data.data = arena_;
  output_.data.data = arena_ + kTensorBytes;
  return kTfLiteOk;
}

TfLiteStatus MicroInterpreter::Invoke() {
#ifndef TF_LITE_STRIP_ERROR_STRINGS
  const uint32_t event = profiler_->BeginEvent("CONV_2D");
#endif
  signed char* input = static_cast<signed char*>(input_.data.data);
  signed char* output = static_cast<signed char*>(output_.data.data);
  for (size_t index = 0; index < kTensorBytes; ++index) {
    output[index] = static_cast<signed char>(std::lround(static_cast<float>(input[index]) * 0.5F * 2.0F));
  }
  std::memset(input, 0, kTensorBytes);
#ifndef TF_LITE_STRIP_ERROR_STRINGS
  profiler_->EndEvent(event);
#endif
  return kTfLiteOk;
}

TfLiteTensor* MicroInterpreter::input(size_t) { return &input_; }
TfLiteTensor* MicroInterpreter::output(size_t) { return &output_; }
size_t MicroInterpreter::arena_used_bytes() const { return 2 * kTensorBytes; }

}  // namespace tflite
