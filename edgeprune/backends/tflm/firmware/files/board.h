// What the firmware needs of a board: four functions. Write them in a file of your own; README.md shows some.
#pragma once

#include <cstddef>
#include <cstdint>

// 1: the firmware runs on an emulator such as QEMU, and its figures are reported as emulated, not as measured.
#ifndef EDGEPRUNE_EMULATED
#define EDGEPRUNE_EMULATED 0
#endif

// Sets up clocks, the serial line (115200 baud, 8N1) and the clock of microseconds. Called once, first.
void BoardInit();

// The next byte that came over the serial line, waiting for it.
char BoardRead();

// Sends `size` bytes over the serial line; returns when they are on their way.
void BoardWrite(const char* text, std::size_t size);

// Microseconds since any moment; it may wrap around.
std::uint32_t BoardMicros();
