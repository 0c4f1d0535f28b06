# GCC for $board. CMake uses these flags to compile and to link: without them at the link the image gets
# libraries for another instruction set, and faults at its start.
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
