# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where, by component: runtime (libnormgen), gen (libnormgen-gen), dev,
# tools. No installed file has an absolute path of this build or of the prefix: a tree may be moved.
include(CMakePackageConfigHelpers)

set(normgen_share ${CMAKE_INSTALL_DATADIR}/normgen)
set(normgen_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/normgen)

# ---- libraries and programs ----

install(TARGETS normgen
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev)
install(TARGETS normgen-archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
install(TARGETS normgen-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
if(NORMGEN_GEN)
    # Found by dlopen only: no link name, nothing to build against.
    install(TARGETS normgen-gen
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT gen NAMELINK_SKIP)
    install(TARGETS normgen-worker
        RUNTIME DESTINATION ${NORMGEN_INSTALL_LIBEXEC} COMPONENT tools)
    # An LLVM outside of the linker's own folders has to be named.
    get_filename_component(llvm_home ${llvm_library} REALPATH)
    get_filename_component(llvm_home ${llvm_home} DIRECTORY)
    if(NOT llvm_home IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
        set_target_properties(normgen-gen normgen-worker PROPERTIES INSTALL_RPATH ${llvm_home})
    endif()
endif()

# ---- for those who build against it ----

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/normgen DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT dev FILES_MATCHING PATTERN *.h)

# Paths of pkg-config count from the file itself: ${pcfiledir}/../.. is the prefix.
file(RELATIVE_PATH NORMGEN_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(NORMGEN_PRIVATE_LIBS "-lsqlite3 -lm -ldl -lpthread")
if(NORMGEN_USES_OPENMP)
    string(APPEND NORMGEN_PRIVATE_LIBS " -fopenmp")
endif()
configure_file(cmake/normgen.pc.in normgen.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/normgen.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

configure_package_config_file(cmake/normgenConfig.cmake.in ${PROJECT_BINARY_DIR}/normgenConfig.cmake
    INSTALL_DESTINATION ${normgen_cmake} NO_CHECK_REQUIRED_COMPONENTS_MACRO
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR)
# 0.x: only the same minor version fits.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/normgenConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES cmake/normgenBundle.cmake ${PROJECT_BINARY_DIR}/normgenConfig.cmake
    ${PROJECT_BINARY_DIR}/normgenConfigVersion.cmake
    DESTINATION ${normgen_cmake} COMPONENT dev)

# ---- manual pages and completions ----

if(TARGET manuals)
    install(FILES ${PROJECT_BINARY_DIR}/normgen.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
    install(FILES ${PROJECT_BINARY_DIR}/normgen-spec.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT tools)
endif()
set(zsh_folder site-functions)
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
    set(zsh_folder vendor-completions)
endif()
install(FILES completions/normgen.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME normgen COMPONENT tools)
install(FILES completions/_normgen DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${zsh_folder} COMPONENT tools)

# ---- specs, examples, documents ----

install(DIRECTORY specs/ DESTINATION ${normgen_share}/specs COMPONENT tools)
install(FILES examples/host.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT dev)
install(DIRECTORY examples/engine DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT dev)
install(FILES README.md docs/numerics.md docs/tutorial.md docs/store-text.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools)
