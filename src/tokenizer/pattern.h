#pragma once

#include <prune/core/json_file.h>

#include "regex.h"

namespace prune::tokenizer {

/// Builds "pattern" of a Split or Replace in tokenizer.json: {"String": ...} is literal text,
/// {"Regex": ...} a regular expression.
inline Regex make_pattern(const json& description) {
  const json pattern = require<json>(description, "pattern");
  if (pattern.contains("String")) return literal_regex(require<std::string>(pattern, "String"));
  return Regex(require<std::string>(pattern, "Regex"));
}

}  // namespace prune::tokenizer
