// The only file that needs the headers of TFLite Micro.
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

// Tells of each operator when it ends. They run one after another, so one start is enough.
class Laps : public tflite::MicroProfilerInterface {
 public:
  LayerTold told = nullptr;

  std::uint32_t BeginEvent(const char* name) override {
    name_ = name;
    start_ = BoardMicros();
    return 0;
  }

  void EndEvent(std::uint32_t) override {
    const std::uint32_t microseconds = BoardMicros() - start_;
    if (told != nullptr) told(name_, microseconds);
  }

 private:
  const char* name_ = "";
  std::uint32_t start_ = 0;
};

alignas(16) std::uint8_t arena[kTensorArenaBytes];
Resolver resolver;
Laps laps;
tflite::MicroInterpreter* interpreter = nullptr;

}  // namespace

bool ModelSetup() {
  if (AddOperators(&resolver) != kTfLiteOk) return false;
  static tflite::MicroInterpreter made(tflite::GetModel(kModelData), resolver, arena, kTensorArenaBytes, nullptr, &laps);
  interpreter = &made;
  return made.AllocateTensors() == kTfLiteOk;
}

bool ModelInvoke() { return interpreter->Invoke() == kTfLiteOk; }

void* ModelInput() { return interpreter->input(0)->data.data; }

const void* ModelOutput() { return interpreter->output(0)->data.data; }

std::size_t ModelArenaUsed() { return interpreter->arena_used_bytes(); }

bool ModelInvokeTimed(LayerTold told) {
  laps.told = told;
  const bool ran = ModelInvoke();
  laps.told = nullptr;
  return ran;
}
