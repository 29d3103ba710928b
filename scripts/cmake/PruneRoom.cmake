# prune_room(NAME SOURCES a.cpp ... [USES room ...] [LINKS target ...])
#
# One room of the house: the static library prune_<NAME> of src/<NAME>, with the headers in
# include/prune/<NAME>. A room compiles against its own headers and those of the rooms in USES, and nothing
# reaches it through another room: an undeclared use does not build. Rooms in USES must come first in
# src/CMakeLists.txt.
add_library(prune_warnings INTERFACE)
# GCC's -Wconversion leaves signs alone; clang's would want a cast at every index.
target_compile_options(prune_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                       $<$<BOOL:${PRUNE_WERROR}>:-Werror>)
if(PRUNE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(PRUNE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# The libraries that every room builds on.
add_library(prune_base INTERFACE)
target_link_libraries(prune_base INTERFACE prune_torch fmt::fmt nlohmann_json::nlohmann_json spdlog::spdlog)

function(prune_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LINKS" ${ARGN})
  set(target prune_${name})
  add_library(${target} STATIC ${ROOM_SOURCES})
  set_property(GLOBAL APPEND PROPERTY PRUNE_ROOMS ${name})
  # One link per room, so that `#include <prune/core/error.h>` works and yet shows single rooms.
  set(view "${CMAKE_BINARY_DIR}/rooms/${name}")
  file(MAKE_DIRECTORY "${view}/prune")
  file(CREATE_LINK "${CMAKE_SOURCE_DIR}/include/prune/${name}" "${view}/prune/${name}" SYMBOLIC)
  target_include_directories(${target} PRIVATE "${view}" "${CMAKE_CURRENT_SOURCE_DIR}")
  foreach(used IN LISTS ROOM_USES)
    if(NOT TARGET prune_${used})
      message(FATAL_ERROR "room ${name} uses ${used}, which does not come before it")
    endif()
    target_include_directories(${target} PRIVATE "${CMAKE_BINARY_DIR}/rooms/${used}")
    target_link_libraries(${target} PRIVATE prune_${used})
  endforeach()
  target_link_libraries(${target} PUBLIC prune_base PRIVATE prune_warnings ${ROOM_LINKS})
  if(TARGET prune_pch)
    target_precompile_headers(${target} REUSE_FROM prune_pch)
  endif()
endfunction()

# prune_test(ROOM SOURCES a_test.cpp ... [LINKS target ...] [LABEL unit])
function(prune_test room)
  cmake_parse_arguments(TEST "" "LABEL" "SOURCES;LINKS" ${ARGN})
  if(NOT TEST_LABEL)
    set(TEST_LABEL unit)
  endif()
  set(target test_${room})
  add_executable(${target} ${TEST_SOURCES})
  target_link_libraries(${target} PRIVATE prune_test_base ${TEST_LINKS} GTest::gtest_main)
  target_precompile_headers(${target} REUSE_FROM prune_test_pch)
  gtest_discover_tests(${target} TEST_PREFIX "${room}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${TEST_LABEL}" TIMEOUT 600)
endfunction()
