// MLPerf Tiny's serial protocol over the four functions of board.h, without operating system, heap or exceptions.
//
// Commands end in '%'. In addition to those of MLPerf Tiny, arena% reports the size of the arena, layers% the time of
// each operator, and golden% compares the outputs for the inputs of golden.h with those of TFLite Micro on the host.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "board.h"
#include "golden.h"
#include "model.h"
#include "model_info.h"

namespace {

constexpr std::size_t kMostCommand = 79;  // characters before the '%'

char command[kMostCommand + 1];
unsigned char input[kInputBytes];    // the received input: the arena may reuse the memory of the input tensor
std::size_t expected_bytes = 0;      // size of the input that is being received; 0 if none is
std::size_t received_bytes = 0;

void Say(const char* text) { BoardWrite(text, std::strlen(text)); }

void SayNumber(unsigned long number) {
  char text[24];
  std::snprintf(text, sizeof text, "%lu", number);
  Say(text);
}

void SayLine(const char* before, unsigned long number, const char* after) {
  Say(before);
  SayNumber(number);
  Say(after);
  Say("\r\n");
}

void SayError(const char* text, const char* more = "") {
  Say("e-[");
  Say(text);
  Say(more);
  Say("]\r\n");
}

// Three decimals, without the floating-point part of printf, which small C libraries omit.
void SayReal(float value) {
  long thousandths = static_cast<long>(value * 1000.0F + (value < 0 ? -0.5F : 0.5F));
  if (thousandths < 0) {
    Say("-");
    thousandths = -thousandths;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%ld.%03ld", thousandths / 1000, thousandths % 1000);
  Say(text);
}

float OutputValue(std::size_t index) {
  if (kOutputScale == 0.0F) {
    float value = 0.0F;
    std::memcpy(&value, static_cast<const unsigned char*>(ModelOutput()) + index * sizeof value, sizeof value);
    return value;
  }
  const int step = static_cast<const signed char*>(ModelOutput())[index];
  return static_cast<float>(step - kOutputZeroPoint) * kOutputScale;
}

void SayResults() {
  Say("m-results-[");
  for (std::size_t index = 0; index < kOutputElements; ++index) {
    if (index > 0) Say(",");
    SayReal(OutputValue(index));
  }
  Say("]\r\n");
}

bool RunOnce() {
  std::memcpy(ModelInput(), input, kInputBytes);
  return ModelInvoke();
}

bool RunMany(unsigned long count) {
  for (unsigned long run = 0; run < count; ++run) {
    if (!RunOnce()) return false;
  }
  return true;
}

void Infer(unsigned long count, unsigned long warm_up) {
  SayLine("m-warmup-start-", warm_up, "");
  if (!RunMany(warm_up)) return SayError("the model failed");
  Say("m-warmup-done\r\n");
  SayLine("m-infer-start-", count, "");
  const std::uint32_t start = BoardMicros();
  const bool succeeded = RunMany(count);
  const std::uint32_t end = BoardMicros();
  if (!succeeded) return SayError("the model failed");
  SayLine("m-lap-us-", start, "");
  SayLine("m-lap-us-", end, "");
  Say("m-infer-done\r\n");
  SayResults();
}

bool first_layer = true;

void SayLayer(const char* name, std::uint32_t microseconds) {
  if (!first_layer) Say(",");
  first_layer = false;
  Say(name);
  Say(":");
  SayNumber(microseconds);
}

void Layers() {
  std::memcpy(ModelInput(), input, kInputBytes);
  first_layer = true;
  Say("m-layers-[");
  const bool succeeded = ModelInvokeTimed(SayLayer);
  Say("]\r\n");
  if (!succeeded) SayError("the model failed");
}

void Golden() {
  unsigned long equal = 0;
  for (std::size_t index = 0; index < kGoldenCount; ++index) {
    std::memcpy(ModelInput(), kGoldenInputs[index], kInputBytes);
    if (!ModelInvoke()) return SayError("the model failed");
    if (std::memcmp(ModelOutput(), kGoldenOutputs[index], kOutputBytes) == 0) ++equal;
  }
  Say("m-[Golden: ");
  SayNumber(equal);
  SayLine(" of ", kGoldenCount, " the same]");
}

int Digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

void ExpectInput(const char* number) {
  char* end = nullptr;
  const unsigned long size = std::strtoul(number, &end, 10);
  if (end == number || *end != '\0') return SayError("db load takes a number of bytes, got ", number);
  expected_bytes = received_bytes = 0;
  if (size != kInputBytes) return SayError("the input has another size; profile% reports the name of the model");
  expected_bytes = kInputBytes;
  SayLine("m-[Expecting ", size, " bytes]");
}

void ReceiveInput(const char* digits) {
  const std::size_t size = std::strlen(digits) / 2;
  if (expected_bytes == 0) return SayError("db load comes first");
  if (std::strlen(digits) % 2 != 0) return SayError("a byte needs two digits");
  if (received_bytes + size > expected_bytes) return SayError("more bytes than the size given to db load");
  unsigned char bytes[kMostCommand];
  for (std::size_t index = 0; index < size; ++index) {
    const int high = Digit(digits[2 * index]);
    const int low = Digit(digits[2 * index + 1]);
    if (high < 0 || low < 0) return SayError("not hexadecimal digits: ", digits);
    bytes[index] = static_cast<unsigned char>(16 * high + low);
  }
  std::memcpy(input + received_bytes, bytes, size);
  received_bytes += size;
  if (received_bytes < expected_bytes) return;
  expected_bytes = 0;
  Say("m-load-done\r\n");
}

// Removes the next word from the front of `text` and returns it.
char* NextWord(char** text) {
  char* word = *text;
  char* space = std::strchr(word, ' ');
  if (space == nullptr) {
    *text = word + std::strlen(word);
  } else {
    *space = '\0';
    *text = space + 1;
  }
  return word;
}

bool ParseCount(const char* word, unsigned long* count) {
  char* end = nullptr;
  *count = std::strtoul(word, &end, 10);
  return end != word && *end == '\0';
}

void Answer() {
  char* text = command;
  const char* word = NextWord(&text);
  if (std::strcmp(word, "name") == 0) {
    Say("m-name-dut-[EdgePrune]\r\n");
  } else if (std::strcmp(word, "profile") == 0) {
    Say("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[");
    Say(kModelId);
    Say("]\r\n");
    if (EDGEPRUNE_EMULATED) Say("m-board-[emulated]\r\n");
  } else if (std::strcmp(word, "timestamp") == 0) {
    SayLine("m-lap-us-", BoardMicros(), "");
  } else if (std::strcmp(word, "db") == 0) {
    const char* argument = NextWord(&text);
    if (std::strcmp(argument, "load") == 0) {
      ExpectInput(NextWord(&text));
    } else {
      ReceiveInput(argument);
    }
  } else if (std::strcmp(word, "infer") == 0) {
    unsigned long count = 0;
    unsigned long warm_up = 0;
    const char* first = NextWord(&text);
    const char* second = NextWord(&text);
    if (!ParseCount(first, &count) || count == 0 || (*second != '\0' && !ParseCount(second, &warm_up))) {
      SayError("infer expects a count of at least 1, and optionally a count of warm-up runs");
    } else {
      Infer(count, warm_up);
    }
  } else if (std::strcmp(word, "results") == 0) {
    SayResults();
  } else if (std::strcmp(word, "arena") == 0) {
    SayLine("m-arena-[", ModelArenaUsed(), "]");
  } else if (std::strcmp(word, "layers") == 0) {
    Layers();
  } else if (std::strcmp(word, "golden") == 0) {
    Golden();
  } else {
    SayError("Unknown command: ", word);
  }
}

// Reads a command without its '%'. Returns false if it is too long and was discarded.
bool ReadCommand() {
  std::size_t size = 0;
  bool fits = true;
  for (;;) {
    const char next = BoardRead();
    if (next == '%') {
      command[fits ? size : 0] = '\0';
      return fits;
    }
    if (size == 0 && (next == '\r' || next == '\n')) continue;
    if (size == kMostCommand) {
      fits = false;
    } else {
      command[size++] = next;
    }
  }
}

}  // namespace

// Sets up the board and the model, then answers commands forever.
[[noreturn]] void Serve() {
  BoardInit();
  const bool ready = ModelSetup();
  Say("m-init-done\r\n");
  if (!ready) SayError("cannot load the model: the arena is too small, or an operator is missing");
  Say("m-ready\r\n");
  for (;;) {
    if (!ReadCommand()) {
      SayError("the command is too long");
    } else if (!ready) {
      SayError("there is no model");
    } else {
      Answer();
    }
    Say("m-ready\r\n");
  }
}

#ifndef EDGEPRUNE_NO_MAIN  // Arduino and ESP-IDF have their own; it calls Serve()
int main() { Serve(); }
#endif
