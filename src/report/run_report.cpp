#include <prune/core/version.h>
#include <prune/report/run_report.h>

namespace prune::report {
namespace {

template <class T>
nlohmann::json or_null(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

nlohmann::json to_json(const LayerReport& layer) {
  return {{"name", layer.name},
          {"shape", {layer.rows, layer.cols}},
          {"group", layer.group},
          {"sparsity_asked", layer.sparsity_asked},
          {"sparsity_reached", layer.sparsity_reached()},
          {"loss_estimated", or_null(layer.loss_estimated)},
          {"loss_measured", layer.loss_measured},
          {"energy", or_null(layer.energy)},
          {"damp_used", layer.damp_used},
          {"elapsed_s", layer.elapsed_s}};
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
          {"device", report.device},
          {"world_size", 1},
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
