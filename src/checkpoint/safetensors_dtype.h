#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

namespace prune::checkpoint {

/// The dtype behind a safetensors name ("BF16"); nothing for one LibTorch cannot hold.
std::optional<at::ScalarType> dtype_of_safetensors(std::string_view name);

/// "BF16" for at::kBFloat16; nothing for a dtype without a safetensors name.
std::optional<std::string_view> safetensors_name(at::ScalarType dtype);

/// Position of a dtype in the order in which the safetensors library lays out a file: larger
/// elements first, so that each tensor is aligned without gaps (FORMATS §5.2).
size_t safetensors_rank(at::ScalarType dtype);

}  // namespace prune::checkpoint
