#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace prune::test {

/// Little-endian bytes of a number.
template <class Number>
std::string bytes_of(Number number) {
  std::string bytes(sizeof(Number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(Number));
  return bytes;
}

/// A safetensors file with this header and data, valid or not.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return bytes_of(uint64_t{header.size()}) + header + data;
}

/// A safetensors file with one float32 vector of zeros per name.
template <class Names>
std::string vectors_bytes(const Names& names, int64_t elements = 2) {
  std::string header = "{";
  int64_t offset = 0;
  for (const std::string& name : names) {
    header += (offset == 0 ? "\"" : ",\"") + name + R"(":{"dtype":"F32","shape":[)" +
              std::to_string(elements) + R"(],"data_offsets":[)" + std::to_string(offset) + "," +
              std::to_string(offset + 4 * elements) + "]}";
    offset += 4 * elements;
  }
  return safetensors_bytes(header + "}", std::string(static_cast<size_t>(offset), '\0'));
}

}  // namespace prune::test
