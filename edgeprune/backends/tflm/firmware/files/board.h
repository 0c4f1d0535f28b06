// Interface to the board: four functions to implement, in board.cc for example. README.md has examples.
#pragma once

#include <cstddef>
#include <cstdint>

// Set to 1 if the firmware runs on an emulator such as QEMU. Its figures are then reported as emulated, not as measured.
#ifndef EDGEPRUNE_EMULATED
#define EDGEPRUNE_EMULATED 0
#endif

// Initializes the clocks, the serial line (115200 baud, 8N1) and the microsecond timer. Called once, before the others.
void BoardInit();

// Waits for the next byte from the serial line, and returns it.
char BoardRead();

// Sends `size` bytes over the serial line. May return before the last one is sent.
void BoardWrite(const char* text, std::size_t size);

// Returns a time in microseconds since an arbitrary start. It may wrap around.
std::uint32_t BoardMicros();
