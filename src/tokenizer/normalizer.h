#pragma once

#include <prune/core/json_file.h>

#include <functional>
#include <string>

namespace prune::tokenizer {

/// Rewrites a stretch of valid, non-empty UTF-8 in place.
using Normalizer = std::function<void(std::string&)>;

/// Builds tokenizer.json's "normalizer"; null gives one that is empty (false).
/// @throws Error(input) with the name of a component we do not know.
Normalizer make_normalizer(const json& description);

}  // namespace prune::tokenizer
