# With PRUNE_CUDA: enables the CUDA language and defines prune_cuda, the toolkit's headers (as SYSTEM)
# and runtime. Kernels (.cu) include no torch header; the wrappers (.cpp) see only c10/cuda, which wants
# cuda_runtime_api.h. Needs no GPU. scripts/ci/check_ptxas holds the kernels to their register budget.
if(NOT PRUNE_CUDA)
  return()
endif()
if(PRUNE_SANITIZE)
  message(FATAL_ERROR "PRUNE_SANITIZE and PRUNE_CUDA do not go together: nvcc does not know the "
                      "sanitizers. The kernels run under them in the emulator of tests/solver.")
endif()

# A toolkit that is installed but not on PATH is common in containers.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(PRUNE_NVCC nvcc HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin
               DOC "CUDA compiler")
  if(NOT PRUNE_NVCC)
    message(FATAL_ERROR "nvcc not found: pass -DCMAKE_CUDA_COMPILER=<toolkit>/bin/nvcc, or leave out "
                        "-DPRUNE_CUDA=ON")
  endif()
  set(CMAKE_CUDA_COMPILER "${PRUNE_NVCC}")
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
# C++17: CMake up to 3.25.1 does not know that nvcc can do more, and kernels need no more.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# libtorch_cuda brings the shared runtime; a static copy of ours would be a second one in the process.
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)

find_package(CUDAToolkit REQUIRED)
# libtorch_cuda's operators register themselves when it is loaded; nothing refers to them by name, so a
# linker that drops unneeded libraries (Ubuntu's default) would drop it.
add_library(prune_cuda INTERFACE)
target_include_directories(prune_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(prune_cuda INTERFACE CUDA::cudart)
target_link_options(prune_cuda INTERFACE "-Wl,--no-as-needed")

# nvcc knows none of g++'s warnings; the host build of the kernels in tests/solver has them all.
get_target_property(warnings prune_warnings INTERFACE_COMPILE_OPTIONS)
list(TRANSFORM warnings REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:\\1>")
set_target_properties(prune_warnings PROPERTIES INTERFACE_COMPILE_OPTIONS "${warnings}")
