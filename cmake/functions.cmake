# SPDX-License-Identifier: Apache-2.0

# normgen_embed(target file symbol [PACK]): makes generated/<symbol>.h, which has the text of the file as
# `static const char <symbol>[]`; PACK: with frequent words as one byte each.
function(normgen_embed target file symbol)
    cmake_parse_arguments(arg "PACK" "" "" ${ARGN})
    set(header ${PROJECT_BINARY_DIR}/generated/${symbol}.h)
    add_custom_command(OUTPUT ${header}
        COMMAND ${CMAKE_COMMAND} -DIN=${CMAKE_CURRENT_SOURCE_DIR}/${file} -DNAME=${symbol}
            -DOUT=${header} -DPACK=${arg_PACK} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${file} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
    target_sources(${target} PRIVATE ${header})
endfunction()

# normgen_test(name LABELS quick|full|soak SOURCES a.c… [LIBS lib…] [SERIAL] [TIMEOUT seconds]):
# one Check program, build/test_<name>. SERIAL: it measures time, nothing runs beside it. It links
# the static libnormgen; LIBS normgen-gen-static adds generator and tuner.
function(normgen_test name)
    cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "LABELS;SOURCES;LIBS" ${ARGN})
    add_executable(test_${name} ${arg_SOURCES})
    target_link_libraries(test_${name} PRIVATE normgen-flags ${arg_LIBS} normgen-static normgen-check)
    add_test(NAME ${name} COMMAND test_${name})
    normgen_test_properties(${name} ${ARGN})
endfunction()

# normgen_script_test(name LABELS … COMMAND tests/x.sh args… [SERIAL] [TIMEOUT seconds]): a script,
# which gets NORMGEN_SOURCE and NORMGEN_BUILD and exits 77 after a line `not run: …`.
function(normgen_script_test name)
    cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "LABELS;COMMAND" ${ARGN})
    add_test(NAME ${name} COMMAND ${arg_COMMAND})
    normgen_test_properties(${name} ${ARGN})
endfunction()

# What all tests share: labels, a time limit, and an environment in which nobody's store is touched.
function(normgen_test_properties name)
    # Every keyword of the callers, or the words after an unknown one would become labels.
    cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "LABELS;SOURCES;LIBS;COMMAND" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 900)
        if("quick" IN_LIST arg_LABELS)
            set(arg_TIMEOUT 300) # a hang, not slowness: a loaded machine takes ten times as long
        elseif("soak" IN_LIST arg_LABELS)
            set(arg_TIMEOUT 14400)
        endif()
    endif()
    set_tests_properties(${name} PROPERTIES
        LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
        RUN_SERIAL "$<BOOL:${arg_SERIAL}>" WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
        ENVIRONMENT "NORMGEN_SOURCE=${PROJECT_SOURCE_DIR};NORMGEN_BUILD=${PROJECT_BINARY_DIR};XDG_DATA_HOME=${PROJECT_BINARY_DIR}/test-data;LC_ALL=C.UTF-8"
        ENVIRONMENT_MODIFICATION "NORMGEN_DB=unset:;NORMGEN_MODE=unset:;NORMGEN_STRICT=unset:;NORMGEN_ISA=unset:")
endfunction()
