#pragma once

#include <prune/models/family.h>

// Each family is one file; the registry lists them by hand, because a static library drops objects
// that only register themselves.
namespace prune::models {

FamilySpec opt_family();
FamilySpec bloom_family();
/// LLaMA and the models that differ from it by a row of a table.
FamilySpec llama_family();
FamilySpec mistral_family();
FamilySpec qwen2_family();
FamilySpec qwen3_family();

}  // namespace prune::models
