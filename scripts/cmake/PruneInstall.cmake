# Rules for `cmake --install`, find_package(prune) and the Debian package (cpack -G DEB).
#
# LibTorch and Arrow are installed in lib/prune, because no distribution ships these versions; all other
# libraries come from the system. The program itself prints its manual page and completion scripts.
include(GNUInstallDirs)
set(private_libraries "${CMAKE_INSTALL_LIBDIR}/prune")
file(RELATIVE_PATH to_libraries "/${CMAKE_INSTALL_BINDIR}" "/${private_libraries}")
set_target_properties(prune PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libraries}")
install(TARGETS prune
  RUNTIME_DEPENDENCIES
    POST_EXCLUDE_REGEXES "^/(usr/)?lib" "^/opt"
    DIRECTORIES "${PRUNE_TORCH_ROOT}/lib" "${PRUNE_TORCH_ROOT}/../nvidia/cu13/lib"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program
  LIBRARY DESTINATION "${private_libraries}" COMPONENT program)

set(words "${CMAKE_BINARY_DIR}/words")
set(write_words "file(MAKE_DIRECTORY \"${words}\")")
foreach(page IN ITEMS "man:prune.1" "completion bash:prune" "completion zsh:_prune"
                      "completion fish:prune.fish")
  string(REGEX MATCH "^(.*):(.*)$" page "${page}")
  string(REPLACE " " "\" \"" command "${CMAKE_MATCH_1}")
  string(APPEND write_words "
    execute_process(COMMAND \"$<TARGET_FILE:prune>\" \"${command}\"
                    OUTPUT_FILE \"${words}/${CMAKE_MATCH_2}\" COMMAND_ERROR_IS_FATAL ANY)")
endforeach()
install(CODE "${write_words}" COMPONENT program)
install(FILES "${words}/prune.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT program)
install(FILES "${words}/prune" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
        COMPONENT program)
install(FILES "${words}/_prune" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions"
        COMPONENT program)
install(FILES "${words}/prune.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d"
        COMPONENT program)
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" "${CMAKE_SOURCE_DIR}/README.md"
        DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)

# Installs all rooms as one target prune::prune; its config file finds LibTorch as this build does.
get_property(rooms GLOBAL PROPERTY PRUNE_ROOMS)
list(REMOVE_ITEM rooms cli)  # it has no public headers
list(TRANSFORM rooms PREPEND prune_ OUTPUT_VARIABLE room_targets)
install(TARGETS ${room_targets} ARCHIVE DESTINATION "${private_libraries}" COMPONENT development)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/prune" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT development)
list(REVERSE room_targets)  # a library must precede those it uses on the linker's command line
list(JOIN room_targets " " PRUNE_ROOM_TARGETS)
set(PRUNE_HAS_PARQUET OFF)
if(TARGET prune_arrow)
  set(PRUNE_HAS_PARQUET ON)
endif()
include(CMakePackageConfigHelpers)
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/prune")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/prune-config.cmake.in"
  "${CMAKE_BINARY_DIR}/prune-config.cmake" INSTALL_DESTINATION "${package}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR private_libraries)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/prune-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/prune-config.cmake" "${CMAKE_BINARY_DIR}/prune-config-version.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/PruneTorch.cmake" "${CMAKE_CURRENT_LIST_DIR}/PruneArrow.cmake"
        DESTINATION "${package}" COMPONENT development)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the prune authors <prune@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Prunes large language models after training")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL program)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME prune)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${PRUNE_TORCH_ROOT}/lib"
    "${PRUNE_TORCH_ROOT}/../nvidia/cu13/lib" "${PRUNE_ARROW_ROOT}")
include(CPack)
