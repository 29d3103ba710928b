#pragma once

#include <prune/core/json_file.h>
#include <prune/models/model.h>

#include <string>
#include <vector>

#include "support.h"

namespace prune::test {

inline std::filesystem::path golden_models() { return golden() / "models"; }

/// The cases' description, written by scripts/golden/models.py.
inline const json& golden_facts() {
  static const json kFacts = read_json(golden_models() / "cases.json");
  return kFacts;
}

inline std::vector<std::string> golden_cases() {
  std::vector<std::string> names;
  for (const auto& [name, facts] : golden_facts().at("cases").items()) names.push_back(name);
  return names;
}

/// The token ids of all cases, [2, 16] int64.
inline Tensor golden_ids() {
  std::vector<Tensor> rows;
  for (const json& row : golden_facts().at("ids")) {
    rows.push_back(at::tensor(row.get<std::vector<int64_t>>(), at::kLong));
  }
  return at::stack(rows);
}

/// A case as a checkpoint folder. `changes` are merged into its config.json; null removes a key.
class GoldenModel {
 public:
  explicit GoldenModel(const std::string& name, const json& changes = json::object()) {
    const json& facts = golden_facts().at("cases").at(name);
    json config = facts.at("config");
    config.merge_patch(changes);
    folder_.write("config.json", config.dump());
    const auto weights = facts.at("weights").get<std::string>();
    std::filesystem::copy(
        golden_models() / weights,
        path() / (weights.ends_with(".bin") ? "pytorch_model.bin" : "model.safetensors"));
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  models::Model open(at::ScalarType dtype = at::kFloat, at::Device device = at::kCPU) const {
    return models::Model::open(path(), {.device = device, .dtype = dtype});
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace prune::test
