# Defines the target prune_torch: LibTorch's headers (as SYSTEM) and libraries.
#
# LibTorch is searched in CMAKE_PREFIX_PATH: the PyPI wheel's site-packages/torch or an unzipped LibTorch
# >= 2.5. Its own TorchConfig.cmake is not used: that of the CUDA wheel requires a CUDA toolkit and links
# libtorch_cuda even into a program for the CPU only.

find_path(PRUNE_TORCH_ROOT share/cmake/Torch/TorchConfig.cmake
          HINTS "$ENV{PRUNE_DEPS}/libtorch-2.11.0/torch" "$ENV{HOME}/.cache/prune/libtorch-2.11.0/torch"
          DOC "Folder of LibTorch")
if(NOT PRUNE_TORCH_ROOT)
  message(FATAL_ERROR "LibTorch not found: run scripts/setup, or pass "
                      "-DCMAKE_PREFIX_PATH=<site-packages>/torch (or an unzipped LibTorch >= 2.5)")
endif()

file(STRINGS "${PRUNE_TORCH_ROOT}/include/torch/headeronly/version.h" version_lines
     REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
if(NOT version_lines)
  file(STRINGS "${PRUNE_TORCH_ROOT}/include/torch/csrc/api/include/torch/version.h" version_lines
       REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
endif()
string(REGEX REPLACE "[^0-9;]" "" version_numbers "${version_lines}")
list(JOIN version_numbers "." PRUNE_TORCH_VERSION)
if(PRUNE_TORCH_VERSION VERSION_LESS 2.5)
  message(FATAL_ERROR "LibTorch ${PRUNE_TORCH_VERSION} in ${PRUNE_TORCH_ROOT} is too old: 2.5 or later is needed")
endif()
message(STATUS "LibTorch ${PRUNE_TORCH_VERSION} in ${PRUNE_TORCH_ROOT}")

# LibTorch's include folder also contains copies of other libraries; its fmt would shadow the one that spdlog
# was built with. So only LibTorch's own folders are on the include path.
set(torch_view "${CMAKE_BINARY_DIR}/torch-include")
file(MAKE_DIRECTORY "${torch_view}")
foreach(folder IN ITEMS ATen c10 caffe2 torch)
  file(CREATE_LINK "${PRUNE_TORCH_ROOT}/include/${folder}" "${torch_view}/${folder}" SYMBOLIC)
endforeach()
add_library(prune_torch INTERFACE)
target_include_directories(prune_torch SYSTEM INTERFACE
  "${torch_view}" "${torch_view}/torch/csrc/api/include")
# LibTorch zips before 2.7 exist for both C++ ABIs; we must compile with the same one.
file(STRINGS "${PRUNE_TORCH_ROOT}/share/cmake/Torch/TorchConfig.cmake" abi_line
     REGEX "_GLIBCXX_USE_CXX11_ABI=[01]")
if(abi_line MATCHES "_GLIBCXX_USE_CXX11_ABI=([01])")
  target_compile_definitions(prune_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${CMAKE_MATCH_1})
endif()
set(torch_libraries torch_cpu c10)
if(PRUNE_CUDA)
  list(APPEND torch_libraries torch_cuda c10_cuda)
endif()
foreach(library IN LISTS torch_libraries)
  target_link_libraries(prune_torch INTERFACE "${PRUNE_TORCH_ROOT}/lib/lib${library}.so")
endforeach()
# At run time libtorch_cpu finds the CUDA runtime and CUPTI through its own run path; the linker does not
# find them, which is harmless.
target_link_options(prune_torch INTERFACE "-Wl,--allow-shlib-undefined")
