#pragma once

#include <cstddef>
#include <span>

namespace prune::checkpoint {

/// Rejects what often lies where weights should: an empty file or a Git LFS pointer, which stands in
/// a cloned repository for a file that was never fetched.
/// @throws Error(input) that says what to do, without the file's name.
void reject_placeholder(std::span<const std::byte> file);

}  // namespace prune::checkpoint
