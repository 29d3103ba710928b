# Writes VERSION_CPP from version.cpp.in (cmake -DPROJECT_VERSION=… -DVERSION_CPP=… -P version.cmake).
# Runs in every build, so that a report names the commit that was built, not the one that was configured.
execute_process(COMMAND git describe --always --dirty --exclude=* --abbrev=12
                WORKING_DIRECTORY "${CMAKE_CURRENT_LIST_DIR}"
                OUTPUT_VARIABLE PRUNE_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT PRUNE_COMMIT)
  set(PRUNE_COMMIT unknown)
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/version.cpp.in" "${VERSION_CPP}" @ONLY)
