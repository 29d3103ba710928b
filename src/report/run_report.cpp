#include <prune/core/json_file.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <charconv>

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

nlohmann::json to_json(const std::optional<RecoveryReport>& recovery) {
  if (!recovery) return nullptr;
  nlohmann::json held_out = nlohmann::json::array();
  for (const RecoveryReport::HeldOut& measured : recovery->held_out) {
    held_out.push_back({{"step", measured.step}, {"loss", measured.loss}});
  }
  nlohmann::json blocks = nlohmann::json::array();
  for (const RecoveryReport::BlockErrors& block : recovery->blocks) {
    blocks.push_back({{"error_before", block.before}, {"error_after", block.after}});
  }
  return {{"teacher", recovery->teacher},
          {"scope", recovery->scope},
          {"steps", recovery->steps},
          {"batch", recovery->batch},
          {"rate", recovery->rate},
          {"dtype", recovery->dtype},
          {"trained_samples", recovery->trained_samples},
          {"held_out_samples", recovery->held_out_samples},
          {"blocks", blocks},
          {"losses", recovery->losses},
          {"held_out", held_out},
          {"elapsed_s", recovery->elapsed_s}};
}

nlohmann::json to_json(const std::optional<ExpertsReport>& experts) {
  if (!experts) return nullptr;
  nlohmann::json blocks = nlohmann::json::array();
  for (const ExpertsReport::Block& block : experts->blocks) {
    blocks.push_back({{"kept", block.kept}, {"scores", block.scores}, {"tokens", block.tokens}});
  }
  nlohmann::json held_out;
  if (experts->held_out) {
    held_out = {{"samples", experts->held_out->samples},
                {"perplexity_before", experts->held_out->perplexity_before},
                {"perplexity_after", experts->held_out->perplexity_after}};
  }
  return {
      {"removed_fraction", experts->removed_fraction}, {"held_out", held_out}, {"blocks", blocks}};
}

nlohmann::json evaluation_json(const RunReport& report) {
  if (!report.dense && !report.pruned) return nullptr;
  // Both perplexities are of one text under one protocol, so they share all other keys.
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
          {"zeros_before", layer.zeros_before},
          {"zeros_freed", layer.zeros_freed},
          {"rounded_to_zero", layer.rounded_to_zero},
          {"loss_measured", layer.loss_measured},
          {"loss_pruning", layer.loss_measured - layer.loss_rounding},
          {"loss_rounding", layer.loss_rounding},
          {"energy", or_null(layer.energy)},
          {"tokens", or_null(layer.tokens)},
          {"damp_used", layer.damp_used},
          {"damp_raises", layer.damp_raises},
          {"admm_steps", layer.admm_steps},
          {"refine_steps", layer.refine_steps},
          {"refine_residual", layer.refine_residual},
          {"sha256", layer.sha256},
          {"elapsed_s", layer.elapsed_s}};
}

std::vector<std::vector<int64_t>> ExpertsReport::kept() const {
  std::vector<std::vector<int64_t>> kept;
  for (const Block& block : blocks) kept.push_back(block.kept);
  return kept;
}

std::string experts_line(const ExpertsReport& experts) {
  int64_t all = 0;
  int64_t kept = 0;
  int64_t choices = 0;
  int64_t kept_choices = 0;
  for (const ExpertsReport::Block& block : experts.blocks) {
    all += std::ssize(block.scores);
    kept += std::ssize(block.kept);
    for (const int64_t tokens : block.tokens) choices += tokens;
    for (const int64_t number : block.kept)
      kept_choices += block.tokens[static_cast<size_t>(number)];
  }
  const double lost =
      choices == 0 ? 0.0 : 1.0 - static_cast<double>(kept_choices) / static_cast<double>(choices);
  std::string line = fmt::format(
      "{} of {} experts stay; routers had sent {:.1f} % of the calibration tokens' "
      "choices to the others",
      kept, all, 100.0 * lost);
  if (experts.held_out) {
    line += fmt::format("; perplexity on held-out calibration text {:.2f} → {:.2f}",
                        experts.held_out->perplexity_before, experts.held_out->perplexity_after);
  }
  return line;
}

const RecoveryReport::HeldOut& RecoveryReport::best() const {
  return *std::ranges::min_element(held_out, {}, &HeldOut::loss);
}

int64_t LayerReport::block() const {
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    int64_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [next, error] = std::from_chars(name.data() + dot + 1, end, number);
    if (error == std::errc() && next != end && *next == '.') return number;
  }
  return 0;
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
           {{"version", report.prune_version},
            {"commit", report.prune_commit},
            {"command_line", report.command_line},
            {"options", report.options}}},
          {"model", to_json(report.model)},
          {"calibration", to_json(report.calibration)},
          {"fingerprint", report.fingerprint},
          {"device", report.device},
          {"world_size", report.world_size},
          {"ranks", to_json(report.ranks)},
          {"schedule_candidates", to_json(report.candidates)},
          {"schedule", schedule::schedule_json(report.schedule)},
          {"weights", report.weights()},
          {"zeros", report.zeros()},
          {"layers", layers},
          {"experts", to_json(report.experts)},
          {"units", to_json(report.units)},
          {"recovery", to_json(report.recovery)},
          {"fallbacks", fallbacks_json(report.fallbacks)},
          {"evaluation", evaluation_json(report)},
          {"peak_memory_bytes",
           {{"host", report.peak_host_bytes}, {"device", report.peak_device_bytes}}},
          {"elapsed_s", report.elapsed_s},
          {"output", report.output ? to_json(*report.output) : nlohmann::json()}};
}

void add_fallback_(std::vector<Fallback>& fallbacks, Fallback fallback) {
  if (std::ranges::find(fallbacks, fallback) != fallbacks.end()) return;
  fallbacks.push_back(std::move(fallback));
}

nlohmann::json fallbacks_json(const std::vector<Fallback>& fallbacks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Fallback& fallback : fallbacks) {
    list.push_back({{"where", fallback.where}, {"what", fallback.what}});
  }
  return list;
}

nlohmann::json to_json(const ModelDescription& model) {
  nlohmann::json result = {{"id", model.id},
                           {"family", model.family},
                           {"blocks", model.blocks},
                           {"hidden_size", model.hidden_size},
                           {"parameters", model.parameters},
                           {"dtype", model.dtype},
                           {"computing_dtype", model.computing_dtype},
                           {"files", model.files}};
  if (!model.hub_id.empty()) result["hub_id"] = model.hub_id;
  if (!model.weight_format.empty()) result["weight_format"] = model.weight_format;
  return result;
}

nlohmann::json to_json(const TokensDescription& tokens) {
  return {{"source", tokens.source},
          {"nsamples", tokens.nsamples},
          {"seqlen", tokens.seqlen},
          {"sha256", tokens.sha256},
          {"texts", calibration::to_json(tokens.texts)}};
}

nlohmann::json to_json(const OutputDescription& output) {
  return {{"folder", output.folder}, {"bytes", output.size_bytes}, {"files", output.files}};
}

ModelDescription describe_model(const models::Model& model, const std::string& id) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  ModelDescription result = {.id = id,
                             .family = model.config().model_type,
                             .blocks = model.config().blocks,
                             .hidden_size = model.config().hidden_size,
                             .dtype = dtype_name(model.stored_dtype()),
                             .computing_dtype = dtype_name(model.dtype())};
  if (model.weight_format()) result.weight_format = checkpoint::describe(*model.weight_format());
  for (const std::string& file : source.files()) {
    result.files[file] = static_cast<int64_t>(std::filesystem::file_size(source.folder() / file));
  }
  for (const std::string& name : source.names()) {
    result.parameters += element_count(source.info(name).shape);
  }
  return result;
}

TokensDescription describe_tokens(const calibration::TokenSet& tokens) {
  return {.source = tokens.source,
          .nsamples = tokens.samples(),
          .seqlen = tokens.seqlen(),
          .sha256 = tokens.sha256,
          .texts = tokens.texts};
}

std::vector<Fallback> guesses_of(const calibration::TokenSet& tokens) {
  std::vector<Fallback> guesses;
  for (const calibration::TextDescription& text : tokens.texts) {
    for (const std::string& guess : text.guesses) {
      add_fallback_(guesses, {.where = text.name, .what = guess});
    }
  }
  return guesses;
}

}  // namespace prune::report
