#pragma once

#include <prune/core/tensor.h>

namespace prune {

/// Memory that this process can still take without swapping or being killed: the kernel's estimate,
/// lowered by the limits of the control groups it runs in (a Slurm job, a container).
int64_t available_host_bytes();
/// Free memory of a GPU, counting what the allocator holds back for reuse; 0 for the CPU.
int64_t available_device_bytes(at::Device device);

/// Largest amount that was in use so far, by this process and on the device (0 on the CPU).
int64_t peak_host_bytes();
int64_t peak_device_bytes(at::Device device);

/// Bytes of the tensors on a GPU now, and their peak since restart_peak_allocated_bytes(); 0 for the CPU.
int64_t allocated_bytes(at::Device device);
int64_t peak_allocated_bytes(at::Device device);
void restart_peak_allocated_bytes(at::Device device);

/// Waits until a GPU has done everything asked of it; nothing for the CPU.
void synchronize(at::Device device);

/// Host memory that this process holds now.
int64_t resident_host_bytes();

/// Free bytes that the heap holds on to until return_freed_memory().
inline constexpr int64_t kHeapSlack = 32 << 20;

/// Fixes from which size on a tensor is a mapping of its own that goes back to the system when it is freed.
/// Left alone, the C library raises that size with every large block freed and then cuts tensors of many
/// sizes out of one heap, whose holes grow with the run. To be called once, before the first allocation.
void keep_heap_flat();

/// Gives the free memory of the heap back to the system; called once a block of the model.
void return_freed_memory();

}  // namespace prune
