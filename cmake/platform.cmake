# SPDX-License-Identifier: Apache-2.0
# Refuses what normgen does not run on, by name.
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|aarch64|arm64)$")
    message(FATAL_ERROR "normgen runs on Linux on x86-64 and aarch64; "
        "this is ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}.")
endif()
if(NOT CMAKE_C_COMPILER_ID MATCHES "^(GNU|Clang)$")
    message(FATAL_ERROR "normgen is built with gcc or clang; this is ${CMAKE_C_COMPILER_ID}.")
endif()
set(NORMGEN_X86 OFF)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(NORMGEN_X86 ON)
endif()
