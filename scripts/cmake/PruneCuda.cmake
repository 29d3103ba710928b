# If PRUNE_CUDA is on: enables the CUDA language and defines the target prune_cuda, the toolkit's headers (as
# SYSTEM) and runtime. Kernels (.cu) include no torch header; their wrappers (.cpp) include only c10/cuda, which
# needs cuda_runtime_api.h. Needs no GPU. scripts/ci/check_ptxas checks the kernels' register budget.
if(NOT PRUNE_CUDA)
  return()
endif()
if(PRUNE_SANITIZE)
  message(FATAL_ERROR "PRUNE_SANITIZE and PRUNE_CUDA cannot be combined: nvcc does not support the "
                      "sanitizers. tests/solver runs the kernels under them in an emulator.")
endif()

# In containers the toolkit is often installed but not on PATH.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(PRUNE_NVCC nvcc HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin
               DOC "CUDA compiler")
  if(NOT PRUNE_NVCC)
    message(FATAL_ERROR "nvcc not found: pass -DCMAKE_CUDA_COMPILER=<toolkit>/bin/nvcc, or omit "
                        "-DPRUNE_CUDA=ON")
  endif()
  set(CMAKE_CUDA_COMPILER "${PRUNE_NVCC}")
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
# CMake up to 3.25.1 does not know that nvcc supports C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr")
# libtorch_cuda loads the shared runtime; a static one would be a second runtime in the process.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)

find_package(CUDAToolkit REQUIRED)
# libtorch_cuda registers its operators when it is loaded. No symbol refers to it, so a linker that drops
# unneeded libraries (Ubuntu's default) would drop it.
add_library(prune_cuda INTERFACE)
target_include_directories(prune_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(prune_cuda INTERFACE CUDA::cudart)
target_link_options(prune_cuda INTERFACE "-Wl,--no-as-needed")

# nvcc does not know g++'s warnings; the host build of the kernels in tests/solver enables them all.
get_target_property(warnings prune_warnings INTERFACE_COMPILE_OPTIONS)
list(TRANSFORM warnings REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:\\1>")
set_target_properties(prune_warnings PROPERTIES INTERFACE_COMPILE_OPTIONS "${warnings}")
