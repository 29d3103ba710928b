#pragma once

#include <prune/core/json_file.h>

#include <functional>
#include <string>

namespace prune::tokenizer {

/// Rewrites valid, non-empty UTF-8 in place.
using Normalizer = std::function<void(std::string&)>;

/// Builds "normalizer" of tokenizer.json. Null gives an empty std::function, which converts to false.
/// @throws Error(input) with the name of a component that is not supported. The result throws it if it
///         expands a text too far.
Normalizer make_normalizer(const json& description);

}  // namespace prune::tokenizer
