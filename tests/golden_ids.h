#pragma once

#include <prune/core/json_file.h>
#include <prune/core/sha256.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "support.h"

namespace prune::test {

inline std::string sha256_of(const std::vector<int64_t>& ids) {
  return sha256_hex(std::as_bytes(std::span(ids)));
}

/// Compares ids with a golden record: the list itself, or the count and SHA-256 of a long list.
inline void expect_ids(const std::vector<int64_t>& ids, const json& record) {
  if (record.is_array()) {
    EXPECT_EQ(json(ids), record);
    return;
  }
  EXPECT_EQ(ids.size(), record.at("count").get<size_t>());
  EXPECT_EQ(sha256_of(ids), record.at("sha256").get<std::string>());
}

/// The bytes of an entry of "texts": plain text, hexadecimal, or a repeated text.
inline std::string bytes_of(const json& entry) {
  if (entry.is_string()) return entry.get<std::string>();
  if (entry.contains("text")) return entry["text"].get<std::string>();
  std::string bytes;
  if (entry.contains("hex")) {
    const auto hex = entry["hex"].get<std::string>();
    for (size_t i = 0; i < hex.size(); i += 2) {
      bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
  }
  const json& run = entry.at("run");
  for (int i = 0; i < run[1].get<int>(); ++i) bytes += run[0].get<std::string>();
  return bytes + run[2].get<std::string>();
}

}  // namespace prune::test
