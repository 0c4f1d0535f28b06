# GCC toolchain for $board. The core flags apply to compilation and linking: without them, the linker selects
# libraries for another instruction set, and the image faults at startup.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_CXX_COMPILER arm-none-eabi-g++)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CORE_FLAGS)

set(CORE_FLAGS "$core_flags" CACHE STRING "Flags of the core")
foreach(LANGUAGE C CXX ASM)
  set(CMAKE_$${LANGUAGE}_FLAGS_INIT "$${CORE_FLAGS}")
endforeach()
