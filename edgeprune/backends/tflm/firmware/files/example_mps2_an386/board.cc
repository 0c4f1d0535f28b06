// Implementation of board.h for QEMU's mps2-an386, a Cortex-M4 with CMSDK peripherals at 25 MHz.
#include "board.h"

namespace {

volatile std::uint32_t& Register(std::uintptr_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

constexpr std::uintptr_t kUart = 0x40004000;
constexpr std::uintptr_t kUartData = kUart;
constexpr std::uintptr_t kUartState = kUart + 0x4;
constexpr std::uintptr_t kUartControl = kUart + 0x8;
constexpr std::uintptr_t kUartDivider = kUart + 0x10;
constexpr std::uint32_t kTransmitFull = 1;
constexpr std::uint32_t kReceiveFull = 2;
constexpr std::uintptr_t kFpgaCounter = 0x40028018;
constexpr std::uintptr_t kFpgaPrescaler = 0x4002801c;
constexpr std::uint32_t kClockMhz = 25;

}  // namespace

void BoardInit() {
  Register(kUartDivider) = kClockMhz * 1000000 / 115200;
  Register(kUartControl) = 3;  // transmit and receive
  Register(kFpgaPrescaler) = kClockMhz - 1;
}

char BoardRead() {
  while ((Register(kUartState) & kReceiveFull) == 0) {
  }
  return static_cast<char>(Register(kUartData));
}

void BoardWrite(const char* text, std::size_t size) {
  for (std::size_t index = 0; index < size; ++index) {
    while ((Register(kUartState) & kTransmitFull) != 0) {
    }
    Register(kUartData) = static_cast<unsigned char>(text[index]);
  }
}

std::uint32_t BoardMicros() { return Register(kFpgaCounter); }
