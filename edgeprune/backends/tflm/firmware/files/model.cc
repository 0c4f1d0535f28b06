// Implementation of model.h with the interpreter of TFLite Micro.
#include "model.h"

#include <cstring>

#include "arena_size.h"
#include "board.h"
#include "model_data.h"
#include "op_resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_profiler_interface.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

// Profiler that reports each operator at its end. Operators do not overlap, so one start time is sufficient.
class LayerTimer : public tflite::MicroProfilerInterface {
 public:
  LayerCallback callback = nullptr;

  std::uint32_t BeginEvent(const char* name) override {
    name_ = name;
    start_ = BoardMicros();
    return 0;
  }

  void EndEvent(std::uint32_t) override {
    const std::uint32_t microseconds = BoardMicros() - start_;
    if (callback != nullptr) callback(name_, microseconds);
  }

 private:
  const char* name_ = "";
  std::uint32_t start_ = 0;
};

alignas(16) std::uint8_t arena[kTensorArenaBytes];
Resolver resolver;
LayerTimer layer_timer;
tflite::MicroInterpreter* interpreter = nullptr;

}  // namespace

bool ModelSetup() {
  if (AddOperators(&resolver) != kTfLiteOk) return false;
  static tflite::MicroInterpreter instance(tflite::GetModel(kModelData), resolver, arena, kTensorArenaBytes, nullptr,
                                                 &layer_timer);
  interpreter = &instance;
  return instance.AllocateTensors() == kTfLiteOk;
}

bool ModelInvoke() { return interpreter->Invoke() == kTfLiteOk; }

void* ModelInput() { return interpreter->input(0)->data.data; }

const void* ModelOutput() { return interpreter->output(0)->data.data; }

std::size_t ModelArenaUsed() { return interpreter->arena_used_bytes(); }

bool ModelInvokeTimed(LayerCallback callback) {
  layer_timer.callback = callback;
  const bool succeeded = ModelInvoke();
  layer_timer.callback = nullptr;
  return succeeded;
}
