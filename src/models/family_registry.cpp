#include <prune/core/error.h>
#include <prune/core/nearest.h>

#include "families.h"

namespace prune::models {
namespace {

const std::vector<FamilySpec>& families() {
  static const std::vector<FamilySpec> kFamilies = {opt_family(),   bloom_family(),
                                                    llama_family(), mistral_family(),
                                                    qwen2_family(), qwen3_family()};
  return kFamilies;
}

}  // namespace

std::vector<std::string> known_families() {
  std::vector<std::string> names;
  for (const FamilySpec& family : families()) names.push_back(family.model_type);
  return names;
}

const FamilySpec& find_family(const std::string& model_type) {
  for (const FamilySpec& family : families()) {
    if (family.model_type == model_type) return family;
  }
  throw Error(ErrorKind::kInput, fmt::format("model_type '{}' is not supported; known ones: {}",
                                             model_type, fmt::join(known_families(), ", ")));
}

}  // namespace prune::models
