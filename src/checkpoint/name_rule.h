#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <optional>
#include <string>

namespace prune::checkpoint {

/// The canonical name of a stored tensor; nothing when the rule drops it. The tied head is left to
/// the caller, who knows whether the embedding is there.
std::optional<std::string> canonical_name(const NameRule& rule, const std::string& stored);

}  // namespace prune::checkpoint
