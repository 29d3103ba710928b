#include <prune/core/json_file.h>
#include <prune/core/version.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace prune::report {
namespace {

template <class T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json to_json(const std::vector<ScheduleScore>& candidates) {
  nlohmann::json list = nlohmann::json::array();
  for (const ScheduleScore& c : candidates) {
    list.push_back({{"kind", c.kind},
                    {"spread", c.spread},
                    {"perplexity", c.perplexity},
                    {"losses", c.losses}});
  }
  return list;
}

template <class T>
std::optional<T> optional_value(const nlohmann::json& object, const char* key) {
  const bool there = object.contains(key) && !object.at(key).is_null();
  return there ? std::optional<T>(require<T>(object, key)) : std::nullopt;
}

std::optional<evaluation::PerplexityResult> perplexity_result(const nlohmann::json& evaluation,
                                                              const char* key) {
  const auto perplexity = optional_value<double>(evaluation, key);
  if (!perplexity) return std::nullopt;
  return evaluation::PerplexityResult{.perplexity = *perplexity,
                                      .source = require<std::string>(evaluation, "data"),
                                      .sha256 = require<std::string>(evaluation, "sha256"),
                                      .seqlen = require<int64_t>(evaluation, "seqlen"),
                                      .segments = require<int64_t>(evaluation, "segments"),
                                      .tokens = require<int64_t>(evaluation, "tokens"),
                                      .dtype = require<std::string>(evaluation, "dtype")};
}

nlohmann::json to_json(const std::vector<RankReport>& ranks) {
  nlohmann::json list = nlohmann::json::array();
  for (const RankReport& rank : ranks) {
    list.push_back({{"nsamples", rank.samples},
                    {"hessian_tokens", rank.hessian_tokens},
                    {"hessian_flops", rank.hessian_flops},
                    {"sent_bytes",
                     {{"hessians", rank.sent_hessian_bytes},
                      {"weights", rank.sent_weight_bytes},
                      {"other", rank.sent_other_bytes}}},
                    {"peak_host_bytes", rank.peak_host_bytes}});
  }
  return list;
}

nlohmann::json evaluation_json(const RunReport& report) {
  if (!report.dense && !report.pruned) return nullptr;
  // One protocol, one data set: only the perplexity differs.
  nlohmann::json both = evaluation::to_json(report.dense ? *report.dense : *report.pruned);
  both.erase("perplexity");
  both["perplexity_dense"] = report.dense ? nlohmann::json(report.dense->perplexity) : nullptr;
  both["perplexity_pruned"] = report.pruned ? nlohmann::json(report.pruned->perplexity) : nullptr;
  return both;
}

}  // namespace

nlohmann::json to_json(const LayerReport& layer) {
  return {{"name", layer.name},
          {"shape", {layer.rows, layer.cols}},
          {"group", layer.group},
          {"sparsity_asked", layer.sparsity_asked},
          {"sparsity_reached", layer.sparsity_reached()},
          {"loss_estimated", or_null(layer.loss_estimated)},
          {"rounded_to_zero", layer.rounded_to_zero},
          {"loss_measured", layer.loss_measured},
          {"loss_pruning", layer.loss_measured - layer.loss_rounding},
          {"loss_rounding", layer.loss_rounding},
          {"energy", or_null(layer.energy)},
          {"damp_used", layer.damp_used},
          {"admm_steps", layer.admm_steps},
          {"refine_steps", layer.refine_steps},
          {"refine_residual", layer.refine_residual},
          {"sha256", layer.sha256},
          {"elapsed_s", layer.elapsed_s}};
}

LayerReport layer_report(const nlohmann::json& layer) {
  LayerReport result;
  result.name = require<std::string>(layer, "name");
  const auto shape = require<std::array<int64_t, 2>>(layer, "shape");
  result.rows = shape[0];
  result.cols = shape[1];
  result.group = require<int64_t>(layer, "group");
  result.sparsity_asked = require<double>(layer, "sparsity_asked");
  result.zeros = std::llround(require<double>(layer, "sparsity_reached") *
                              static_cast<double>(result.rows * result.cols));
  result.loss_estimated = optional_value<double>(layer, "loss_estimated");
  result.energy = optional_value<double>(layer, "energy");
  result.rounded_to_zero = require<int64_t>(layer, "rounded_to_zero");
  result.loss_measured = require<double>(layer, "loss_measured");
  result.loss_rounding = require<double>(layer, "loss_rounding");
  result.damp_used = require<double>(layer, "damp_used");
  result.admm_steps = require<int64_t>(layer, "admm_steps");
  result.refine_steps = require<int64_t>(layer, "refine_steps");
  result.refine_residual = require<double>(layer, "refine_residual");
  result.sha256 = require<std::string>(layer, "sha256");
  result.elapsed_s = require<double>(layer, "elapsed_s");
  return result;
}

std::pair<double, double> RunReport::losses() const {
  double pruning = 0.0;
  double rounding = 0.0;
  for (const LayerReport& layer : layers) {
    pruning += layer.loss_measured - layer.loss_rounding;
    rounding += layer.loss_rounding;
  }
  return {pruning, rounding};
}

int64_t RunReport::weights() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.rows * layer.cols;
  return sum;
}

int64_t RunReport::zeros() const {
  int64_t sum = 0;
  for (const LayerReport& layer : layers) sum += layer.zeros;
  return sum;
}

nlohmann::json to_json(const RunReport& report) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerReport& layer : report.layers) layers.push_back(to_json(layer));
  return {{"schema", 1},
          {"prune",
           {{"version", version()},
            {"commit", commit()},
            {"command_line", report.command_line},
            {"options", report.options}}},
          {"model", report.model},
          {"calibration", report.calibration},
          {"fingerprint", report.fingerprint},
          {"device", report.device},
          {"world_size", report.world_size},
          {"ranks", to_json(report.ranks)},
          {"schedule_candidates", to_json(report.candidates)},
          {"schedule", schedule::schedule_json(report.schedule)},
          {"weights", report.weights()},
          {"zeros", report.zeros()},
          {"layers", layers},
          {"fallbacks", fallbacks_json(report.fallbacks)},
          {"evaluation", evaluation_json(report)},
          {"peak_memory_bytes",
           {{"host", report.peak_host_bytes}, {"device", report.peak_device_bytes}}},
          {"elapsed_s", report.elapsed_s},
          {"output", report.output}};
}

void add_fallback_(std::vector<Fallback>& fallbacks, Fallback fallback) {
  if (std::ranges::find(fallbacks, fallback) != fallbacks.end()) return;
  fallbacks.push_back(std::move(fallback));
}

void restore_(RunReport& report, const nlohmann::json& earlier) {
  const auto program = require<nlohmann::json>(earlier, "prune");
  report.command_line = require<std::string>(program, "command_line");
  report.options = program.at("options");
  report.device = require<std::string>(earlier, "device");
  report.layers.clear();
  for (const nlohmann::json& layer : require<nlohmann::json>(earlier, "layers")) {
    report.layers.push_back(layer_report(layer));
  }
  report.candidates.clear();
  for (const auto& c : require<nlohmann::json>(earlier, "schedule_candidates")) {
    report.candidates.push_back({.kind = require<std::string>(c, "kind"),
                                 .spread = require<double>(c, "spread"),
                                 .losses = require<std::vector<double>>(c, "losses"),
                                 .perplexity = require<double>(c, "perplexity")});
  }
  std::vector<Fallback> fallbacks = fallbacks_of(require<nlohmann::json>(earlier, "fallbacks"));
  for (Fallback& fallback : report.fallbacks) add_fallback_(fallbacks, std::move(fallback));
  report.fallbacks = std::move(fallbacks);
  if (const auto evaluation = optional_value<nlohmann::json>(earlier, "evaluation")) {
    report.dense = perplexity_result(*evaluation, "perplexity_dense");
    report.pruned = perplexity_result(*evaluation, "perplexity_pruned");
  }
  const auto elapsed_s = require<std::map<std::string, double>>(earlier, "elapsed_s");
  for (const auto& [phase, seconds] : elapsed_s) report.elapsed_s[phase] += seconds;
  const auto peak = require<nlohmann::json>(earlier, "peak_memory_bytes");
  report.peak_host_bytes = std::max(report.peak_host_bytes, require<int64_t>(peak, "host"));
  report.peak_device_bytes = std::max(report.peak_device_bytes, require<int64_t>(peak, "device"));
  if (earlier.contains("output")) report.output = earlier.at("output");
}

std::vector<Fallback> fallbacks_of(const nlohmann::json& list) {
  std::vector<Fallback> fallbacks;
  for (const nlohmann::json& fallback : list) {
    fallbacks.push_back({.where = require<std::string>(fallback, "where"),
                         .what = require<std::string>(fallback, "what")});
  }
  return fallbacks;
}

nlohmann::json fallbacks_json(const std::vector<Fallback>& fallbacks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Fallback& fallback : fallbacks) {
    list.push_back({{"where", fallback.where}, {"what", fallback.what}});
  }
  return list;
}

nlohmann::json describe_model(const models::Model& model, const std::string& id) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  nlohmann::json files = nlohmann::json::object();
  for (const std::string& file : source.files()) {
    files[file] = std::filesystem::file_size(source.folder() / file);
  }
  int64_t parameters = 0;
  for (const std::string& name : source.names()) {
    parameters += element_count(source.info(name).shape);
  }
  return {{"id", id},
          {"family", model.family().model_type},
          {"blocks", model.config().blocks},
          {"hidden_size", model.config().hidden_size},
          {"parameters", parameters},
          {"dtype", dtype_name(model.stored_dtype())},
          {"computing_dtype", dtype_name(model.dtype())},
          {"files", files}};
}

nlohmann::json describe_tokens(const calibration::TokenSet& tokens) {
  return {{"source", tokens.source},
          {"nsamples", tokens.samples()},
          {"seqlen", tokens.seqlen()},
          {"sha256", tokens.sha256}};
}

}  // namespace prune::report
