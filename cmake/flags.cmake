# SPDX-License-Identifier: Apache-2.0
# How every C file of normgen is compiled. Two of the flags are law, not taste: -ffp-contract=off and
# the absence of extensions keep the bits of docs/numerics.md.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()
# What is developed and tested keeps its asserts; Release drops them.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Everything stands side by side in the build folder and finds its neighbours there, also after a move.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
set(CMAKE_BUILD_RPATH "$ORIGIN")

add_library(normgen-flags INTERFACE)
target_compile_definitions(normgen-flags INTERFACE _GNU_SOURCE NORMGEN_BUILD)
target_compile_options(normgen-flags INTERFACE
    -ffp-contract=off -fno-math-errno -fno-common
    -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wstrict-prototypes
    -Wmissing-prototypes -Wundef -Wvla
    $<$<C_COMPILER_ID:Clang>:-Wno-string-conversion> # assert(!"why")
    $<$<BOOL:${NORMGEN_WERROR}>:-Werror>)
target_include_directories(normgen-flags INTERFACE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/runtime ${PROJECT_BINARY_DIR}/generated)
target_link_options(normgen-flags INTERFACE -Wl,--no-undefined)

if(NORMGEN_SANITIZE)
    add_compile_options(-fsanitize=${NORMGEN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${NORMGEN_SANITIZE})
    # It looks for a type before the first byte of a function, where generated code may have no page.
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
        add_compile_options(-fno-sanitize=function)
    endif()
    # The sanitizers' run time is found when the program starts, so libraries may leave it undefined.
    set_property(TARGET normgen-flags PROPERTY INTERFACE_LINK_OPTIONS "")
endif()
