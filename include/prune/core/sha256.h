#pragma once

#include <prune/core/tensor.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace prune {

/// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);

/// SHA-256 of a tensor's elements. @param value contiguous, on the CPU.
std::string sha256_hex(const Tensor& value);

/// SHA-256 of the concatenated elements of several tensors.
std::string sha256_hex(const std::vector<Tensor>& values);

/// SHA-256 of a file, read in pieces. @throws Error(input) if it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace prune
