#include "model_notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>

namespace prune::pipeline {
namespace {

bool matches_a_layer(const models::ModelShape& model, const std::string& expression) {
  const std::regex pattern(expression);
  for (int64_t block = 0; block < model.config.blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears(block)) {
      if (std::regex_search(model.block_prefix(block) + spec.name, pattern)) return true;
    }
  }
  return false;
}

/// Two layers that read the same input, of which only the first is chosen; empty if there are none.
std::pair<std::string, std::string> split_pair(const models::ModelShape& model,
                                               const std::set<std::string>& chosen) {
  for (int64_t block = 0; block < model.config.blocks; ++block) {
    std::map<int64_t, std::pair<std::string, std::string>> of_site;
    for (const models::LinearSpec& spec : model.linears(block)) {
      const std::string name = model.block_prefix(block) + spec.name;
      auto& [in, out] = of_site[spec.site];
      (chosen.contains(name) ? in : out) = name;
      if (!in.empty() && !out.empty()) return {in, out};
    }
  }
  return {};
}

}  // namespace

std::vector<report::Fallback> adapter_fallbacks(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "adapter_config.json")) return {};
  return {{.where = (folder / "adapter_config.json").string(),
           .what = "the adapter in this folder is not applied and not copied; merge it into the "
                   "model first "
                   "(peft's merge_and_unload) if the result should have it"}};
}

std::vector<report::Fallback> model_fallbacks(const models::Model& model,
                                              const PruneOptions& options) {
  std::vector<report::Fallback> fallbacks = adapter_fallbacks(model.checkpoint().folder());
  if (!options.exclude.empty() && !matches_a_layer(model.shape(), options.exclude)) {
    const bool prefixed = options.exclude.starts_with("re:");
    fallbacks.push_back(
        {.where = "--exclude",
         .what = fmt::format(
             "'{}' matches no layer, so nothing is excluded; {}layers are named like '{}'",
             options.exclude, prefixed ? "leave out 're:'; " : "",
             model.block_prefix(0) + model.linears(0).front().name)});
  }
  return fallbacks;
}

std::string quantized_input_note(const models::ModelShape& model, at::ScalarType stored,
                                 bool packed) {
  if (!model.weight_format) return "";
  const std::string dtype = dtype_name(stored);
  const std::string read = fmt::format("the weights are stored as {} and read as {}",
                                       checkpoint::describe(*model.weight_format), dtype);
  return packed ? read
                : fmt::format("{}; the output holds {} without {}", read, dtype,
                              fmt::join(model.format_keys, " and "));
}

std::vector<std::string> model_remarks(const models::Model& model, const PruneOptions& options,
                                       const std::set<std::string>& chosen) {
  std::vector<std::string> remarks;
  if (model.unties_head()) {
    remarks.emplace_back(
        "lm_head.weight and the embedding are stored with different values although config.json "
        "ties them; "
        "both are kept, as Transformers does, and the output's config.json says so");
  }
  for (const std::string& key : model.shape().stale_keys) {
    remarks.push_back(
        fmt::format("config.json's {} describes no compressed weights in the files; the output's "
                    "config.json goes without it",
                    key));
  }
  const auto [in, out] = split_pair(model.shape(), chosen);
  if (options.solver.quantization.on() && !in.empty()) {
    remarks.push_back(
        fmt::format("'{}' is quantized but '{}' is not; vLLM fuses layers that read the same input "
                    "and wants one "
                    "format for all of them",
                    in, out));
  }
  return remarks;
}

}  // namespace prune::pipeline
