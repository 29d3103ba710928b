#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prune {

using at::Tensor;

/// "[768, 3072]".
std::string shape_string(at::IntArrayRef shape);

/// "float16", "bfloat16", "float32", ...: the names that config.json and torch use.
std::string dtype_name(at::ScalarType dtype);

/// Product of the sizes; 1 for a scalar.
int64_t element_count(at::IntArrayRef shape);

/// A copy in host memory, or the tensor itself on the CPU. A GPU copies into pinned memory at the speed of the bus,
/// and torch keeps that memory for the next copy.
Tensor to_host(const Tensor& value);

/// "1.50 GiB": for people; reports hold plain byte counts.
std::string human_bytes(int64_t size_bytes);

}  // namespace prune
