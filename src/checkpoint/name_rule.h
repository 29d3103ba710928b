#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <string>

namespace prune::checkpoint {

/// Canonical name of a stored tensor. The caller handles a tied head, because that depends on whether the
/// embedding is stored too.
std::string canonical_name(const NameRule& rule, const std::string& stored);

}  // namespace prune::checkpoint
