#pragma once

#include <prune/core/json_file.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace prune::tokenizer {

/// Lets a map of strings be asked by a view.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using Vocabulary = std::unordered_map<std::string, uint32_t, StringHash, std::equal_to<>>;

/// A JSON object of tokens and ids. @throws Error(input) that names the token whose id is none.
Vocabulary read_vocabulary(const json& vocab);

}  // namespace prune::tokenizer
