#pragma once

#include <prune/models/family.h>

#include <memory>
#include <string>

// Each family is one file. family_registry.cpp lists them by hand, because a linker drops objects
// of a static library that only register themselves.
namespace prune::models {

FamilySpec opt_family();
FamilySpec bloom_family();
/// LLaMA and the models that differ from it by one row of a table.
FamilySpec llama_family();
FamilySpec mistral_family();
FamilySpec qwen2_family();
FamilySpec qwen3_family();

/// Entries of FamilySpec for a family's classes.
template <class FamilyBlock>
std::unique_ptr<Block> make_block(const ModelConfig& config, const WeightLoader& loader,
                                  int64_t block, const std::string& prefix) {
  return std::make_unique<FamilyBlock>(config, loader, block, prefix);
}

template <class End, class FamilyEnd>
std::unique_ptr<End> make_end(const ModelConfig& config, const WeightLoader& loader) {
  return std::make_unique<FamilyEnd>(config, loader);
}

}  // namespace prune::models
