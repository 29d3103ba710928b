# Defines the target prune_arrow if PRUNE_PARQUET is ON, or AUTO and Arrow is found: Arrow C++ and its
# Parquet library from the pyarrow wheel. The wheel lacks the plain library names (libarrow.so) that a linker
# looks for, so we link the versioned files. scripts/setup installs the wheel; PRUNE_ARROW_ROOT can point to
# another pyarrow folder.
set(PRUNE_PARQUET AUTO CACHE STRING "Read .parquet texts with Arrow: AUTO (if found), ON, OFF")
set_property(CACHE PRUNE_PARQUET PROPERTY STRINGS AUTO ON OFF)
if(NOT PRUNE_PARQUET)
  return()
endif()

set(arrow_wheel "arrow-26.0.1/pyarrow")
find_path(PRUNE_ARROW_ROOT include/parquet/arrow/reader.h
          HINTS "$ENV{PRUNE_DEPS}/${arrow_wheel}" "$ENV{XDG_CACHE_HOME}/prune/${arrow_wheel}"
                "$ENV{HOME}/.cache/prune/${arrow_wheel}"
          NO_DEFAULT_PATH
          DOC "Folder of the pyarrow wheel")
set(arrow_libraries)
foreach(name IN ITEMS parquet arrow)
  file(GLOB found "${PRUNE_ARROW_ROOT}/lib${name}.so.*")
  if(PRUNE_ARROW_ROOT AND found)
    list(APPEND arrow_libraries ${found})
  elseif(PRUNE_PARQUET STREQUAL "AUTO")
    message(STATUS "Arrow not found: building without .parquet support (scripts/setup installs it)")
    return()
  else()
    message(FATAL_ERROR "PRUNE_PARQUET is ON but Arrow was not found: run scripts/setup, pass "
                        "-DPRUNE_ARROW_ROOT=<site-packages>/pyarrow, or omit the option")
  endif()
endforeach()
message(STATUS "Arrow in ${PRUNE_ARROW_ROOT}")
add_library(prune_arrow INTERFACE)
target_include_directories(prune_arrow SYSTEM INTERFACE "${PRUNE_ARROW_ROOT}/include")
target_link_libraries(prune_arrow INTERFACE ${arrow_libraries})
