#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace prune::dist::detail {

/// NCCL between the GPUs of all ranks. Null in a build without NCCL or on a machine without a GPU: tensors on a
/// GPU then go over Gloo, staged through the host.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout);

}  // namespace prune::dist::detail
