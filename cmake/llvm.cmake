# SPDX-License-Identifier: Apache-2.0
# Finds the shared libLLVM through llvm-config and makes the target `llvm`. LLVM's own CMake package
# is not used: it wants a C++ compiler and the development files of all that LLVM itself links.
# -DLLVM_DIR=/usr/lib/llvm-22 (the prefix, or the folder with LLVMConfig.cmake) picks one.
set(LLVM_DIR "" CACHE PATH "which LLVM: its prefix, or the folder of its LLVMConfig.cmake")

if(LLVM_DIR)
    find_program(llvm_config llvm-config NO_CACHE NO_DEFAULT_PATH REQUIRED
        HINTS ${LLVM_DIR}/bin ${LLVM_DIR}/../../../bin)
else()
    find_program(llvm_config NO_CACHE NAMES llvm-config-19 llvm-config-22 llvm-config-21 llvm-config-20 llvm-config)
    if(NOT llvm_config)
        message(FATAL_ERROR "LLVM was not found: install llvm-19-dev, or point -DLLVM_DIR at one, "
            "or build without the generator (-DNORMGEN_GEN=OFF).")
    endif()
endif()

foreach(what version includedir libdir)
    execute_process(COMMAND ${llvm_config} --${what} OUTPUT_VARIABLE llvm_${what}
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endforeach()
string(REGEX MATCH "^[0-9]+" llvm_major "${llvm_version}")
if(llvm_major LESS 19 OR llvm_major GREATER 22)
    message(FATAL_ERROR "${llvm_config} is LLVM ${llvm_version}; normgen needs 19 to 22 "
        "(llvm-19-dev on Debian 12), or -DNORMGEN_GEN=OFF.")
endif()

find_library(llvm_library NO_CACHE NO_DEFAULT_PATH NAMES LLVM-${llvm_major} LLVM HINTS ${llvm_libdir})
if(NOT llvm_library)
    message(FATAL_ERROR "${llvm_libdir} has no shared libLLVM-${llvm_major}. A static one would clash "
        "with other LLVMs in a host program; normgen links the shared one only.")
endif()
set(NORMGEN_LLVM_VERSION ${llvm_version} CACHE INTERNAL "")
message(STATUS "LLVM ${llvm_version}: ${llvm_library}")

add_library(llvm INTERFACE)
target_include_directories(llvm SYSTEM INTERFACE ${llvm_includedir})
target_link_libraries(llvm INTERFACE ${llvm_library})

find_package(PkgConfig REQUIRED)
pkg_search_module(LUA REQUIRED IMPORTED_TARGET lua5.4 lua-5.4 lua54 "lua >= 5.4")
