#pragma once

// Shared memory of CUDA kernels is declared through macros, because tests/fibre_emulator.h runs their source on the host.
#ifndef PRUNE_SHARED_ARRAY
#define PRUNE_SHARED_ARRAY(type, name, size) __shared__ __align__(16) type name[size]
#define PRUNE_SHARED_DYNAMIC(type, name) extern __shared__ __align__(16) type name[]
#endif
