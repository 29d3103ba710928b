#pragma once

#include <string>
#include <vector>

#include "regex.h"

namespace prune::tokenizer {

/// What happens to the matches of a pattern that cuts a text ("behavior" in tokenizer.json).
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// @throws Error(input) for an unknown name.
SplitBehavior split_behavior(const std::string& name);

/// A match of a pattern, or the text between two matches.
struct Stretch {
  Span span;
  bool is_match;
};

/// Applies a behavior to stretches that cover a text from left to right; returns the pieces.
std::vector<Span> apply_behavior(const std::vector<Stretch>& stretches, SplitBehavior behavior);

}  // namespace prune::tokenizer
