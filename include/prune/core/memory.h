#pragma once

#include <prune/core/tensor.h>

namespace prune {

/// Bytes that this process can still allocate without swapping or being killed: the kernel's estimate,
/// capped by the control groups it runs in (a Slurm job, a container).
int64_t available_host_bytes();
/// Free bytes of a GPU, including those that LibTorch's allocator caches; 0 for the CPU.
int64_t available_device_bytes(at::Device device);

/// Peak bytes in use so far, by this process and on the device (0 for the CPU).
int64_t peak_host_bytes();
int64_t peak_device_bytes(at::Device device);

/// Bytes of the tensors on a GPU now, and their peak since restart_peak_allocated_bytes(); 0 for the CPU.
int64_t allocated_bytes(at::Device device);
int64_t peak_allocated_bytes(at::Device device);
void restart_peak_allocated_bytes(at::Device device);

/// Waits until a GPU has done everything asked of it; nothing for the CPU.
void synchronize(at::Device device);

/// Bytes of host memory that this process holds now.
int64_t resident_host_bytes();

/// Free bytes that the heap may keep until return_freed_memory().
inline constexpr int64_t kHeapSlack = 32 << 20;

/// Fixes the size (4 MiB) from which an allocation gets its own mapping, which returns to the system when
/// freed. By default the C library raises that size with every large block it frees; tensors of many
/// sizes then share one heap, and its holes grow during the run. Call once, before the first allocation.
void keep_heap_flat();

/// Returns the heap's free memory to the system. Call once per block of the model.
void return_freed_memory();

}  // namespace prune
