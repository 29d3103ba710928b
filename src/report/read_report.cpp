#include <prune/core/json_file.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace prune::report {
namespace {

std::string text_or_empty(const json& object, const char* key) {
  return value_or<std::string>(object, key, "");
}

int64_t count_or_zero(const json& object, const char* key) {
  return value_or<int64_t>(object, key, 0);
}

// JSON has null where a number was absent or not finite.
std::optional<double> number_or_none(const json& object, const char* key) {
  const json value = value_or<json>(object, key, nullptr);
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::map<std::string, int64_t> files_of(const json& object) {
  return value_or<std::map<std::string, int64_t>>(object, "files", {});
}

int64_t zeros_at(double sparsity, int64_t weights) {
  return std::llround(sparsity * static_cast<double>(weights));
}

ModelDescription model_description(const json& model) {
  return {.id = require<std::string>(model, "id"),
          .hub_id = text_or_empty(model, "hub_id"),
          .family = require<std::string>(model, "family"),
          .blocks = require<int64_t>(model, "blocks"),
          .hidden_size = count_or_zero(model, "hidden_size"),
          .parameters = count_or_zero(model, "parameters"),
          .dtype = require<std::string>(model, "dtype"),
          .weight_format = text_or_empty(model, "weight_format"),
          .computing_dtype = text_or_empty(model, "computing_dtype"),
          .files = files_of(model)};
}

TokensDescription tokens_description(const json& tokens) {
  return {.source = require<std::string>(tokens, "source"),
          .nsamples = require<int64_t>(tokens, "nsamples"),
          .seqlen = require<int64_t>(tokens, "seqlen"),
          .sha256 = text_or_empty(tokens, "sha256"),
          .texts = calibration::text_descriptions(tokens, "texts")};
}

std::optional<OutputDescription> output_description(const json& report) {
  const json output = value_or<json>(report, "output", nullptr);
  if (output.is_null()) return std::nullopt;
  return OutputDescription{.folder = text_or_empty(output, "folder"),
                           .size_bytes = count_or_zero(output, "bytes"),
                           .files = files_of(output)};
}

std::vector<ScheduleScore> schedule_scores(const json& report) {
  std::vector<ScheduleScore> candidates;
  for (const json& c : value_or<json>(report, "schedule_candidates", json::array())) {
    candidates.push_back({.kind = require<std::string>(c, "kind"),
                          .spread = require<double>(c, "spread"),
                          .losses = value_or<std::vector<double>>(c, "losses", {}),
                          .perplexity = require<double>(c, "perplexity")});
  }
  return candidates;
}

schedule::SparsitySchedule schedule_of(const json& written,
                                       const std::vector<LayerReport>& layers) {
  schedule::SparsitySchedule result;
  result.kind = require<std::string>(written, "kind");
  for (const json& group : value_or<json>(written, "groups", json::array())) {
    result.groups.push_back({.centroid = require<double>(group, "centroid"),
                             .sparsity = require<double>(group, "sparsity")});
  }
  const json sparsities = value_or<json>(written, "layers", json::object());
  for (const LayerReport& layer : layers) {
    if (!sparsities.contains(layer.name)) continue;
    const int64_t weights = layer.rows * layer.cols;
    result.layers.push_back(
        {.name = layer.name,
         .block = layer.block(),
         .group = layer.group,
         .weights = weights,
         .zeros = zeros_at(require<double>(sparsities, layer.name.c_str()), weights)});
  }
  return result;
}

std::optional<evaluation::PerplexityResult> perplexity_result(const json& report, const char* key) {
  const json evaluation = value_or<json>(report, "evaluation", nullptr);
  const auto perplexity = number_or_none(evaluation, key);
  if (!perplexity) return std::nullopt;
  return evaluation::PerplexityResult{.perplexity = *perplexity,
                                      .source = text_or_empty(evaluation, "data"),
                                      .texts = calibration::text_descriptions(evaluation, "texts"),
                                      .sha256 = text_or_empty(evaluation, "sha256"),
                                      .seqlen = count_or_zero(evaluation, "seqlen"),
                                      .segments = count_or_zero(evaluation, "segments"),
                                      .tokens = count_or_zero(evaluation, "tokens"),
                                      .dtype = text_or_empty(evaluation, "dtype")};
}

std::optional<ExpertsReport> experts_report(const json& report) {
  const json experts = value_or<json>(report, "experts", nullptr);
  if (experts.is_null()) return std::nullopt;
  ExpertsReport result{.removed_fraction = require<double>(experts, "removed_fraction")};
  for (const json& block : require<json>(experts, "blocks")) {
    result.blocks.push_back({.kept = require<std::vector<int64_t>>(block, "kept"),
                             .scores = require<std::vector<double>>(block, "scores"),
                             .tokens = require<std::vector<int64_t>>(block, "tokens")});
  }
  const json held_out = value_or<json>(experts, "held_out", nullptr);
  if (!held_out.is_null()) {
    result.held_out = {.samples = require<int64_t>(held_out, "samples"),
                       .perplexity_before = require<double>(held_out, "perplexity_before"),
                       .perplexity_after = require<double>(held_out, "perplexity_after")};
  }
  return result;
}

std::optional<RecoveryReport> recovery_report(const json& report) {
  const json recovery = value_or<json>(report, "recovery", nullptr);
  if (recovery.is_null()) return std::nullopt;
  RecoveryReport result{.teacher = text_or_empty(recovery, "teacher"),
                        .scope = text_or_empty(recovery, "scope"),
                        .steps = require<int64_t>(recovery, "steps"),
                        .batch = require<int64_t>(recovery, "batch"),
                        .rate = require<double>(recovery, "rate"),
                        .dtype = text_or_empty(recovery, "dtype"),
                        .trained_samples = require<int64_t>(recovery, "trained_samples"),
                        .held_out_samples = require<int64_t>(recovery, "held_out_samples"),
                        .losses = require<std::vector<double>>(recovery, "losses"),
                        .elapsed_s = require<double>(recovery, "elapsed_s")};
  for (const json& measured : require<json>(recovery, "held_out")) {
    result.held_out.push_back(
        {.step = require<int64_t>(measured, "step"), .loss = require<double>(measured, "loss")});
  }
  for (const json& block : require<json>(recovery, "blocks")) {
    result.blocks.push_back({.before = require<double>(block, "error_before"),
                             .after = require<double>(block, "error_after")});
  }
  if (result.held_out.empty()) throw_json_error("held_out", "is empty");
  return result;
}

std::vector<RankReport> rank_reports(const json& report) {
  std::vector<RankReport> ranks;
  for (const json& rank : value_or<json>(report, "ranks", json::array())) {
    const auto sent = require<json>(rank, "sent_bytes");
    ranks.push_back({.samples = require<int64_t>(rank, "nsamples"),
                     .hessian_tokens = require<int64_t>(rank, "hessian_tokens"),
                     .hessian_flops = require<double>(rank, "hessian_flops"),
                     .sent_hessian_bytes = require<int64_t>(sent, "hessians"),
                     .sent_weight_bytes = require<int64_t>(sent, "weights"),
                     .sent_other_bytes = require<int64_t>(sent, "other"),
                     .peak_host_bytes = require<int64_t>(rank, "peak_host_bytes")});
  }
  return ranks;
}

}  // namespace

LayerReport layer_report(const json& layer) {
  LayerReport result;
  result.name = require<std::string>(layer, "name");
  const auto shape = require<std::array<int64_t, 2>>(layer, "shape");
  result.rows = shape[0];
  result.cols = shape[1];
  result.group = require<int64_t>(layer, "group");
  result.sparsity_asked = value_or<double>(layer, "sparsity_asked", 0.0);
  result.zeros = zeros_at(require<double>(layer, "sparsity_reached"), result.rows * result.cols);
  result.loss_estimated = number_or_none(layer, "loss_estimated");
  result.energy = number_or_none(layer, "energy");
  if (const auto tokens = number_or_none(layer, "tokens")) {
    result.tokens = static_cast<int64_t>(*tokens);
  }
  result.zeros_before = count_or_zero(layer, "zeros_before");
  result.zeros_freed = count_or_zero(layer, "zeros_freed");
  result.rounded_to_zero = count_or_zero(layer, "rounded_to_zero");
  result.loss_measured = require<double>(layer, "loss_measured");
  result.loss_rounding = value_or<double>(layer, "loss_rounding", 0.0);
  result.damp_used = require<double>(layer, "damp_used");
  result.damp_raises = count_or_zero(layer, "damp_raises");
  result.admm_steps = count_or_zero(layer, "admm_steps");
  result.refine_steps = count_or_zero(layer, "refine_steps");
  result.refine_residual = value_or<double>(layer, "refine_residual", 1.0);
  result.sha256 = text_or_empty(layer, "sha256");
  result.elapsed_s = require<double>(layer, "elapsed_s");
  return result;
}

std::vector<Fallback> fallbacks_of(const json& list) {
  std::vector<Fallback> fallbacks;
  for (const json& fallback : list) {
    fallbacks.push_back({.where = require<std::string>(fallback, "where"),
                         .what = require<std::string>(fallback, "what")});
  }
  return fallbacks;
}

RunReport read_report(const json& report) {
  if (require<int>(report, "schema") != 1) throw_json_error("schema", "is not 1");
  RunReport result;
  result.model = model_description(require<json>(report, "model"));
  result.calibration = tokens_description(require<json>(report, "calibration"));
  const auto schedule = require<json>(report, "schedule");
  const auto program = require<json>(report, "prune");
  result.prune_version = require<std::string>(program, "version");
  result.prune_commit = text_or_empty(program, "commit");
  result.command_line = require<std::string>(program, "command_line");
  result.options = value_or<json>(program, "options", nullptr);
  result.fingerprint = value_or<json>(report, "fingerprint", nullptr);
  result.device = require<std::string>(report, "device");
  result.world_size = value_or<int64_t>(report, "world_size", 1);
  result.candidates = schedule_scores(report);
  for (const json& layer : require<json>(report, "layers")) {
    result.layers.push_back(layer_report(layer));
  }
  result.schedule = schedule_of(schedule, result.layers);
  result.experts = experts_report(report);
  result.units = units_report(report);
  result.recovery = recovery_report(report);
  result.fallbacks = fallbacks_of(require<json>(report, "fallbacks"));
  result.dense = perplexity_result(report, "perplexity_dense");
  result.pruned = perplexity_result(report, "perplexity_pruned");
  result.elapsed_s = require<std::map<std::string, double>>(report, "elapsed_s");
  const auto peak = require<json>(report, "peak_memory_bytes");
  result.peak_host_bytes = require<int64_t>(peak, "host");
  result.peak_device_bytes = require<int64_t>(peak, "device");
  result.output = output_description(report);
  result.ranks = rank_reports(report);
  return result;
}

void restore_(RunReport& report, const json& earlier) {
  RunReport before = read_report(earlier);
  report.command_line = std::move(before.command_line);
  report.options = std::move(before.options);
  report.device = std::move(before.device);
  report.layers = std::move(before.layers);
  report.candidates = std::move(before.candidates);
  report.experts = std::move(before.experts);
  report.units = std::move(before.units);
  report.recovery = std::move(before.recovery);
  for (Fallback& fallback : report.fallbacks) {
    add_fallback_(before.fallbacks, std::move(fallback));
  }
  report.fallbacks = std::move(before.fallbacks);
  if (before.dense || before.pruned) {
    report.dense = std::move(before.dense);
    report.pruned = std::move(before.pruned);
  }
  for (const auto& [phase, seconds] : before.elapsed_s) report.elapsed_s[phase] += seconds;
  report.peak_host_bytes = std::max(report.peak_host_bytes, before.peak_host_bytes);
  report.peak_device_bytes = std::max(report.peak_device_bytes, before.peak_device_bytes);
  if (before.output) report.output = std::move(before.output);
}

}  // namespace prune::report
