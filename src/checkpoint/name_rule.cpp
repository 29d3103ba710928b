#include "name_rule.h"

namespace prune::checkpoint {

std::string canonical_name(const NameRule& rule, const std::string& stored) {
  const std::string head_layer =
      rule.head.substr(0, rule.head.rfind('.') + 1);  // it may have a bias
  const bool is_head = !head_layer.empty() && stored.starts_with(head_layer);
  if (is_head || stored.starts_with(rule.base_prefix)) return stored;
  return rule.base_prefix + stored;
}

}  // namespace prune::checkpoint
