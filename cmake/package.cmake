# SPDX-License-Identifier: Apache-2.0
# Debian packages, one for each install component:
#   cmake --preset package && cmake --build --preset package && cpack --config build-package/CPackConfig.cmake
# Libraries are named after their SONAME; what they need is found by dpkg-shlibdeps.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME normgen)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The normgen authors <normgen@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
# Not where cpack happens to be called.
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(same "(= ${PROJECT_VERSION})")
set(CPACK_COMPONENTS_ALL runtime dev tools)
if(NORMGEN_GEN)
    list(APPEND CPACK_COMPONENTS_ALL gen)
endif()

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libnormgen0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "libnormgen-gen0 ${same}")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "normalization kernels: run-time library
 RMSNorm and LayerNorm with the same bits on every CPU: an interpreter, the
 store of tuned schedules, bundles of kernels compiled ahead of time. Where
 libnormgen-gen0 is installed, kernels are compiled for this CPU.")

set(CPACK_DEBIAN_GEN_PACKAGE_NAME libnormgen-gen0)
set(CPACK_DEBIAN_GEN_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_GEN_DESCRIPTION "normalization kernels: generator library
 Compiles and tunes kernels for libnormgen0, which loads it when it wants to,
 through LLVM.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libnormgen-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libnormgen0 ${same}")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "normgen ${same}, libsqlite3-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION "normalization kernels: development files
 Header, static library, pkg-config and CMake files, examples.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME normgen)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION utils)
if(NORMGEN_GEN)
    set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS "libnormgen-gen0 ${same}")
endif()
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "normalization kernels: compiler and tuner
 Generates RMSNorm and LayerNorm kernels, finds the fastest for this CPU in
 every cache regime, and writes bundles that need nothing at run time.")

# Where the licence of each package has to stand.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    foreach(component IN LISTS CPACK_COMPONENTS_ALL)
        string(TOUPPER ${component} upper)
        install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright COMPONENT ${component}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
    endforeach()
endif()

include(CPack)
