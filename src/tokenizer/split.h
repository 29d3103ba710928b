#pragma once

#include <string>
#include <vector>

#include "regex.h"

namespace prune::tokenizer {

/// What becomes of the matches of a pattern that cuts a text (tokenizer.json's "behavior").
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// @throws Error(input) for an unknown name.
SplitBehavior split_behavior(const std::string& name);

/// A stretch of a text that a pattern matches, or that lies between matches.
struct Stretch {
  Span span;
  bool is_match;
};

/// Turns stretches that cover a text from left to right into the pieces of the cut text.
std::vector<Span> apply_behavior(const std::vector<Stretch>& stretches, SplitBehavior behavior);

}  // namespace prune::tokenizer
