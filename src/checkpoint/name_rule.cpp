#include "name_rule.h"

#include <algorithm>

namespace prune::checkpoint {

std::optional<std::string> canonical_name(const NameRule& rule, const std::string& stored) {
  const auto is_part = [&stored](const std::string& part) {
    return stored.find(part) != std::string::npos;
  };
  if (std::ranges::any_of(rule.ignored, is_part)) return std::nullopt;
  if (stored == rule.head || stored.starts_with(rule.base_prefix)) return stored;
  return rule.base_prefix + stored;
}

}  // namespace prune::checkpoint
