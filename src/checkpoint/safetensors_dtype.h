#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

namespace prune::checkpoint {

/// at::kBFloat16 for "BF16"; nullopt for a dtype that LibTorch lacks.
std::optional<at::ScalarType> dtype_of_safetensors(std::string_view name);

/// "BF16" for at::kBFloat16; nullopt for a dtype without a safetensors name.
std::optional<std::string_view> safetensors_name(at::ScalarType dtype);

/// True for "F8_E8M0", powers of two that scale other numbers; never before LibTorch 2.7.
bool is_e8m0(at::ScalarType dtype);

/// Sort key of a dtype in the layout of the safetensors library: larger elements come first, so that
/// every tensor is aligned without gaps (src/checkpoint/README.md, "safetensors").
size_t safetensors_rank(at::ScalarType dtype);

}  // namespace prune::checkpoint
