# SPDX-License-Identifier: Apache-2.0
# normgen_add_bundle(TARGET SPECS file.lua "rms hidden=…" … [ISAS level…] [REGIMES l1…] [PREFIX name]
#                    [NAME spec] [STORE file] [TUNED] [NO_BASELINE])
#
# Emits the specs when the build needs them and makes TARGET, which gives what links it the header
# <PREFIX.h> and the static library. PREFIX is TARGET by default. Specs are Lua files, relative to the
# current source folder, or texts; a changed file, program or store emits again. Without STORE no store
# is read, so a build does not depend on what was tuned on its machine.
#
# It emits for CMAKE_SYSTEM_PROCESSOR. The program must run on the building machine: NORMGEN_PROGRAM,
# else the one of this tree, or when cross-compiling the one in PATH.
function(normgen_add_bundle target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "TUNED;NO_BASELINE" "PREFIX;NAME;STORE" "SPECS;ISAS;REGIMES")
    if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES)
        message(FATAL_ERROR "normgen_add_bundle(${target}): '${arg_UNPARSED_ARGUMENTS}' is not known, or "
            "a value is missing behind '${arg_KEYWORDS_MISSING_VALUES}'")
    endif()
    if(NOT arg_SPECS AND NOT arg_TUNED)
        message(FATAL_ERROR "normgen_add_bundle(${target}): give SPECS, or STORE and TUNED")
    endif()
    if(arg_TUNED AND NOT arg_STORE)
        message(FATAL_ERROR "normgen_add_bundle(${target}): TUNED means the winners of a STORE; name one")
    endif()
    if(NOT arg_PREFIX)
        set(arg_PREFIX ${target})
    endif()
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
        set(arch x86_64)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        set(arch aarch64)
    else()
        message(FATAL_ERROR "normgen_add_bundle(${target}): there is no code for "
            "'${CMAKE_SYSTEM_PROCESSOR}'; normgen knows x86_64 and aarch64")
    endif()
    normgen_find_program()

    set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target}.bundle)
    set(library ${folder}/lib/${arch}/lib${arg_PREFIX}.a)
    set(header ${folder}/include/${arg_PREFIX}.h)
    set(depends ${NORMGEN_PROGRAM})
    set(words)
    foreach(spec IN LISTS arg_SPECS)
        if(spec MATCHES "\\.lua$")
            cmake_path(ABSOLUTE_PATH spec BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
            list(APPEND depends ${spec})
        elseif(NOT spec MATCHES "=")
            message(FATAL_ERROR "normgen_add_bundle(${target}): '${spec}' is neither a Lua file nor the "
                "text of a spec")
        endif()
        list(APPEND words ${spec})
    endforeach()
    set(options --prefix ${arg_PREFIX} -o ${folder})
    if(NOT arg_ISAS AND arch STREQUAL "aarch64" AND NOT CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        set(arg_ISAS aarch64)
    elseif(NOT arg_ISAS AND arch STREQUAL "x86_64" AND NOT CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
        set(arg_ISAS x86-64-v3 x86-64-v4 x86-64-v4+bf16)
    endif()
    foreach(list ISAS REGIMES)
        if(arg_${list})
            string(REPLACE ";" "," names "${arg_${list}}")
            string(TOLOWER ${list} option)
            string(REGEX REPLACE "^isas$" "isa" option ${option})
            list(APPEND options --${option} ${names})
        endif()
    endforeach()
    if(arg_NAME)
        list(APPEND options --name ${arg_NAME})
    endif()
    if(arg_TUNED)
        list(APPEND options --tuned)
    endif()
    if(arg_NO_BASELINE)
        list(APPEND options --no-baseline)
    endif()
    set(environment NORMGEN_DB=${folder}.without-a-store)
    if(arg_STORE)
        cmake_path(ABSOLUTE_PATH arg_STORE BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        list(APPEND options --db ${arg_STORE})
        list(APPEND depends ${arg_STORE})
    endif()

    add_custom_command(OUTPUT ${library} ${header}
        COMMAND ${CMAKE_COMMAND} -E env ${environment} ${NORMGEN_PROGRAM} emit ${options} -- ${words}
        DEPENDS ${depends} VERBATIM
        COMMENT "Emitting ${arg_PREFIX}: normalization kernels for ${arch}")
    set_property(DIRECTORY APPEND PROPERTY ADDITIONAL_CLEAN_FILES ${folder})
    add_custom_target(${target}_emit DEPENDS ${library} ${header})
    add_library(${target} INTERFACE)
    add_dependencies(${target} ${target}_emit)
    target_include_directories(${target} INTERFACE ${folder}/include)
    target_link_libraries(${target} INTERFACE ${library})
endfunction()

# Sets NORMGEN_PROGRAM, once.
function(normgen_find_program)
    if(NOT NORMGEN_PROGRAM AND NOT CMAKE_CROSSCOMPILING AND EXISTS ${normgen_PROGRAM})
        set(NORMGEN_PROGRAM ${normgen_PROGRAM} CACHE FILEPATH "the normgen that emits bundles")
    endif()
    find_program(NORMGEN_PROGRAM normgen NO_CMAKE_FIND_ROOT_PATH DOC "the normgen that emits bundles")
    if(NOT NORMGEN_PROGRAM)
        message(FATAL_ERROR "normgen_add_bundle: no normgen that runs here was found; "
            "set NORMGEN_PROGRAM to its path")
    endif()
endfunction()
