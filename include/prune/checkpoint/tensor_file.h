#pragma once

#include <prune/core/tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace prune::checkpoint {

/// Writes a safetensors file, atomically and durably: a crash leaves no file or a whole one, and possibly PATH.tmp.
/// @param tensors by name, on any device
/// @throws Error(output) with the path
void write_tensors(const std::filesystem::path& path,
                   const std::vector<std::pair<std::string, Tensor>>& tensors);

}  // namespace prune::checkpoint
