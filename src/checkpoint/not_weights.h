#pragma once

#include <cstddef>
#include <span>

namespace prune::checkpoint {

/// Rejects files that often take the place of weights: an empty file, or a Git LFS pointer, which a clone
/// contains until the file itself is fetched.
/// @throws Error(input) with the remedy but without the file's name.
void reject_placeholder(std::span<const std::byte> file);

}  // namespace prune::checkpoint
