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

/// The same of a tensor's elements. @param value contiguous, on the CPU.
std::string sha256_hex(const Tensor& value);

/// The same of the elements of several, one after the other.
std::string sha256_hex(const std::vector<Tensor>& values);

/// The same of a file's content, read piece by piece. @throws Error(input) when it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace prune
