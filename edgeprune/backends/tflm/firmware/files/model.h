// The model: what main.cc needs of TFLite Micro. model.cc is the only file that includes its headers.
#pragma once

#include <cstddef>
#include <cstdint>

// Loads the model into the arena. False: the arena is too small, or TFLite Micro was built without an operator.
bool ModelSetup();

// Runs it once on what lies in its input.
bool ModelInvoke();

// The first input and the first output, as bytes.
void* ModelInput();
const void* ModelOutput();

// Bytes of the arena that are in use.
std::size_t ModelArenaUsed();

// Runs it once, and tells of each operator in turn: its name, and the microseconds it took.
using LayerTold = void (*)(const char* name, std::uint32_t microseconds);
bool ModelInvokeTimed(LayerTold told);
