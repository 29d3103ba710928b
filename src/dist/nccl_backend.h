#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace prune::dist::detail {

/// NCCL between the GPUs of all ranks; null in a build without it: then what is on a GPU goes over Gloo,
/// by way of the host.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout);

}  // namespace prune::dist::detail
