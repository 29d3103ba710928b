#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <optional>
#include <string>

namespace prune::checkpoint {

/// Canonical name of a stored tensor, nullopt if `rule` drops it. The caller handles a tied head, because
/// that depends on whether the embedding is stored too.
std::optional<std::string> canonical_name(const NameRule& rule, const std::string& stored);

}  // namespace prune::checkpoint
