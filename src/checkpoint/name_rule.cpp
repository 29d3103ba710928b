#include "name_rule.h"

namespace prune::checkpoint {

std::string canonical_name(const NameRule& rule, const std::string& stored) {
  if (stored == rule.head || stored.starts_with(rule.base_prefix)) return stored;
  return rule.base_prefix + stored;
}

}  // namespace prune::checkpoint
