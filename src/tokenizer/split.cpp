#include "split.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>

namespace prune::tokenizer {
namespace {

/// Joins adjacent matches, and adjacent non-matches.
std::vector<Span> contiguous(const std::vector<Stretch>& stretches) {
  std::vector<Span> pieces;
  bool previous_match = false;
  for (const auto& [span, is_match] : stretches) {
    if (is_match == previous_match && !pieces.empty()) {
      pieces.back().end = span.end;
    } else {
      pieces.push_back(span);
    }
    previous_match = is_match;
  }
  return pieces;
}

/// Appends each match to the piece before it, unless that is also a match.
std::vector<Span> merged_with_previous(const std::vector<Stretch>& stretches) {
  std::vector<Span> pieces;
  bool previous_match = false;
  for (const auto& [span, is_match] : stretches) {
    if (is_match && !previous_match && !pieces.empty()) {
      pieces.back().end = span.end;
    } else {
      pieces.push_back(span);
    }
    previous_match = is_match;
  }
  return pieces;
}

/// Prepends each match to the piece after it, unless that is also a match.
std::vector<Span> merged_with_next(const std::vector<Stretch>& stretches) {
  std::vector<Span> pieces;
  bool next_match = false;
  for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
    if (stretch->is_match && !next_match && !pieces.empty()) {
      pieces.back().begin = stretch->span.begin;
    } else {
      pieces.push_back(stretch->span);
    }
    next_match = stretch->is_match;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

SplitBehavior split_behavior(const std::string& name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw Error(ErrorKind::kInput, fmt::format("split behavior '{}' is not supported", name));
}

std::vector<Span> apply_behavior(const std::vector<Stretch>& stretches, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kMergedWithPrevious:
      return merged_with_previous(stretches);
    case SplitBehavior::kMergedWithNext:
      return merged_with_next(stretches);
    case SplitBehavior::kContiguous:
      return contiguous(stretches);
    case SplitBehavior::kRemoved:
    case SplitBehavior::kIsolated:
      break;
  }
  std::vector<Span> pieces;
  for (const auto& [span, is_match] : stretches) {
    if (behavior == SplitBehavior::kIsolated || !is_match) pieces.push_back(span);
  }
  return pieces;
}

}  // namespace prune::tokenizer
