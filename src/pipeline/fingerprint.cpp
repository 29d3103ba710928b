#include "fingerprint.h"

#include <ATen/Parallel.h>
#include <prune/core/error.h>
#include <prune/core/sha256.h>

namespace prune::pipeline {
namespace {

nlohmann::json file_sums(const checkpoint::Checkpoint& source) {
  std::vector<std::string> files = source.files();
  files.push_back("config.json");
  std::vector<std::string> sums(files.size());
  at::parallel_for(0, static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      sums[i] = sha256_of_file(source.folder() / files[i]);
    }
  });
  nlohmann::json result = nlohmann::json::object();
  for (size_t i = 0; i < files.size(); ++i) result[files[i]] = sums[i];
  return result;
}

}  // namespace

nlohmann::json estimate_fingerprint(const models::Model& model, const calibration::TokenSet& tokens,
                                    double percdamp) {
  return {
      {"model", file_sums(model.checkpoint())},
      {"calibration",
       {{"nsamples", tokens.samples()}, {"seqlen", tokens.seqlen()}, {"sha256", tokens.sha256}}},
      {"percdamp", percdamp},
      {"dtype", dtype_name(model.dtype())}};
}

void check_fingerprint(const nlohmann::json& recorded, const nlohmann::json& now) {
  const nlohmann::json before = recorded.flatten();
  const nlohmann::json after = now.flatten();
  const auto differ = [&](const std::string& field) {
    const auto text = [&](const nlohmann::json& values) {
      return values.contains(field) ? values.at(field).dump() : "absent";
    };
    if (text(before) == text(after)) return;
    throw Error(ErrorKind::kInput, fmt::format("'{}' was {}, now it is {}", field.substr(1),
                                               text(before), text(after)));
  };
  for (const auto& [field, value] : after.items()) differ(field);
  for (const auto& [field, value] : before.items()) differ(field);
}

}  // namespace prune::pipeline
