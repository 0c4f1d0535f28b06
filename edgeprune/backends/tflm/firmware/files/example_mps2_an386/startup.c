// Vector table and startup code of a Cortex-M4 with an FPU, which runs before main().
#include <stdint.h>
#include <string.h>

extern uint32_t stack_end[], data_start[], data_end[], data_load[], bss_start[], bss_end[];
void __libc_init_array(void);
int main(void);

// Required by __libc_init_array, which calls them before and after the constructors of static objects.
void _init(void) {}
void _fini(void) {}

void Reset(void) {
  *(volatile uint32_t*)0xe000ed88 |= 0xfu << 20;  // CPACR: full access to the FPU
  __asm__ volatile("dsb\n\tisb" ::: "memory");
  memcpy(data_start, data_load, (uintptr_t)data_end - (uintptr_t)data_start);
  memset(bss_start, 0, (uintptr_t)bss_end - (uintptr_t)bss_start);
  __libc_init_array();
  main();
  for (;;) {
  }
}

// Handler of all faults and interrupts.
static void Hang(void) {
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_end, Reset, Hang, Hang, Hang, Hang, Hang, Hang,
    Hang, Hang, Hang, Hang, Hang, Hang, Hang, Hang,
};
