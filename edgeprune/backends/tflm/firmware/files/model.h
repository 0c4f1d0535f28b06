// Interface of main.cc to TFLite Micro. Only model.cc and op_resolver.h include headers of TFLite Micro.
#pragma once

#include <cstddef>
#include <cstdint>

// Loads the model into the arena. Returns false if the arena is too small or TFLite Micro lacks an operator.
bool ModelSetup();

// Runs the model once on the data in its input tensor. Returns whether it succeeded.
bool ModelInvoke();

// Memory of the first input tensor and of the first output tensor.
void* ModelInput();
const void* ModelOutput();

// Returns the number of bytes of the arena that are in use.
std::size_t ModelArenaUsed();

// Runs the model once and calls `callback` after each operator, with its name and its duration in microseconds.
using LayerCallback = void (*)(const char* name, std::uint32_t microseconds);
bool ModelInvokeTimed(LayerCallback callback);
