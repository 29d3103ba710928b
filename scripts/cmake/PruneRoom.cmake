# prune_room(NAME SOURCES a.cpp ... [USES room ...] [LINKS target ...])
#
# Adds one room: the static library prune_<NAME> from src/<NAME>, with its public headers in
# include/prune/<NAME>. A room sees its own headers and those of the rooms in USES. Uses are not transitive, so
# an undeclared use does not compile. Rooms in USES must be added earlier in src/CMakeLists.txt.
add_library(prune_warnings INTERFACE)
# clang's -Wconversion includes sign conversions, which would need a cast at every index; GCC's does not.
target_compile_options(prune_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                       $<$<BOOL:${PRUNE_WERROR}>:-Werror>)
if(PRUNE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(PRUNE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Libraries that every room uses.
add_library(prune_base INTERFACE)
target_link_libraries(prune_base INTERFACE prune_torch fmt::fmt nlohmann_json::nlohmann_json spdlog::spdlog)

function(prune_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LINKS" ${ARGN})
  set(target prune_${name})
  add_library(${target} STATIC ${ROOM_SOURCES})
  set_property(GLOBAL APPEND PROPERTY PRUNE_ROOMS ${name})
  # A folder with one link per room lets `#include <prune/core/error.h>` work for the declared rooms only.
  set(view "${CMAKE_BINARY_DIR}/rooms/${name}")
  file(MAKE_DIRECTORY "${view}/prune")
  file(CREATE_LINK "${CMAKE_SOURCE_DIR}/include/prune/${name}" "${view}/prune/${name}" SYMBOLIC)
  target_include_directories(${target} PRIVATE "${view}" "${CMAKE_CURRENT_SOURCE_DIR}")
  foreach(used IN LISTS ROOM_USES)
    if(NOT TARGET prune_${used})
      message(FATAL_ERROR "room ${name} uses room ${used}, which must be added before it")
    endif()
    target_include_directories(${target} PRIVATE "${CMAKE_BINARY_DIR}/rooms/${used}")
    target_link_libraries(${target} PRIVATE prune_${used})
  endforeach()
  target_link_libraries(${target} PUBLIC prune_base PRIVATE prune_warnings ${ROOM_LINKS})
  if(TARGET prune_pch)
    target_precompile_headers(${target} REUSE_FROM prune_pch)
  endif()
endfunction()

# prune_test(ROOM SOURCES a_test.cpp ... [LINKS target ...] [LABEL unit]): the program test_<ROOM>. Each suite
# is a ctest entry <ROOM>.<suite>; with the label golden or gpu each test is one.
function(prune_test room)
  cmake_parse_arguments(TEST "" "LABEL" "SOURCES;LINKS" ${ARGN})
  if(NOT TEST_LABEL)
    set(TEST_LABEL unit)
  endif()
  set(target test_${room})
  add_executable(${target} ${TEST_SOURCES} "${CMAKE_SOURCE_DIR}/tests/main.cpp")
  target_link_libraries(${target} PRIVATE prune_test_base ${TEST_LINKS})
  target_precompile_headers(${target} REUSE_FROM prune_test_pch)
  # `ctest -j2` runs two programs of two threads each on two cores: OpenMP's threads must not spin while they
  # wait. Their number stays as it is, so that threaded code is tested.
  if(TEST_LABEL MATCHES "golden|gpu")
    gtest_discover_tests(${target} TEST_PREFIX "${room}." DISCOVERY_TIMEOUT 60
                         PROPERTIES LABELS "${TEST_LABEL}" TIMEOUT 600
                                    ENVIRONMENT OMP_WAIT_POLICY=passive)
    return()
  endif()
  set(entries "${CMAKE_CURRENT_BINARY_DIR}/${target}_suites.cmake")
  add_custom_command(TARGET ${target} POST_BUILD BYPRODUCTS "${entries}"
    COMMAND ${CMAKE_COMMAND} -D "PROGRAM=$<TARGET_FILE:${target}>" -D "PREFIX=${room}." -D "LABEL=${TEST_LABEL}"
            -D "CTEST_FILE=${entries}" -P "${CMAKE_SOURCE_DIR}/scripts/cmake/list_suites.cmake" VERBATIM)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake"
    "if(EXISTS [[${entries}]])\n  include([[${entries}]])\nelse()\n"
    "  add_test(${target}_NOT_BUILT ${target}_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
               "${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake")
endfunction()
