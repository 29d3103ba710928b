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

/// Lets memory that was freed go back to the system at once. The C library's default keeps freed large
/// blocks and cuts new ones out of them, which for tensors of many sizes means a peak that grows with
/// the run.
void return_freed_memory();

}  // namespace prune
