#pragma once

#include <prune/core/json_file.h>

#include <functional>
#include <string>

namespace prune::tokenizer {

/// Rewrites valid, non-empty UTF-8 in place.
using Normalizer = std::function<void(std::string&)>;

/// @param part  names the part of the tokenizer in the message.
/// @throws Error(input) if a step has made a text of `before` bytes too long. Unicode's own normal forms grow
/// a text at most 11-fold (an Arabic ligature in NFKD); a few Replace steps could exhaust any memory.
void check_growth(size_t before, size_t now, const char* part = "normalizer");

/// Replace, of a normalizer or a decoder (`part`, for messages).
Normalizer replace_normalizer(const json& description, const char* part = "normalizer");

/// Builds "normalizer" of tokenizer.json. Null gives an empty std::function, which converts to false.
/// @throws Error(input) with the name of a component that is not supported. The result throws it if it
///         expands a text too far.
Normalizer make_normalizer(const json& description);

}  // namespace prune::tokenizer
