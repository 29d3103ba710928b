#pragma once

#include <prune/core/json_file.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace prune::tokenizer {

/// Lets std::string_view look up keys in a map of strings.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, uint32_t, StringHash, std::equal_to<>>;

/// Tokens with the logarithms of their probabilities; index = id.
using ScoredTokens = std::vector<std::pair<std::string, double>>;

/// Reads a JSON object {token: id}. @throws Error(input) with the token whose id is invalid.
Vocabulary read_vocabulary(const json& vocab);

/// Reads a JSON list of [token, score] pairs. The scores are those that the `tokenizers` package reads, whose
/// parser may differ from the nearest double in the last digit. @throws Error(input) with the wrong entry.
ScoredTokens read_scored_tokens(const json& vocab);

}  // namespace prune::tokenizer
