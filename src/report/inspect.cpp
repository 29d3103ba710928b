#include <prune/report/inspect.h>
#include <prune/report/run_report.h>

namespace prune::report {

nlohmann::json inspect(const models::Model& model, const std::string& id) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  nlohmann::json result = describe_model(model, id);
  nlohmann::json layers = nlohmann::json::array();
  int64_t weights = 0;
  int64_t zeros = 0;
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears()) {
      const std::string name = model.block_prefix(block) + spec.name;
      const checkpoint::TensorInfo& info = source.info(name + ".weight");
      const Tensor weight = source.load(name + ".weight");
      const int64_t layer_zeros = weight.numel() - weight.count_nonzero().item<int64_t>();
      source.drop(name + ".weight");
      weights += weight.numel();
      zeros += layer_zeros;
      layers.push_back(
          {{"name", name},
           {"shape", info.shape},
           {"dtype", source.is_quantized(name + ".weight")
                         ? fmt::format("int{}", model.quantization()->wbits)
                         : dtype_name(info.dtype)},
           {"bytes", info.size_bytes},
           {"zeros", layer_zeros},
           {"sparsity", static_cast<double>(layer_zeros) / static_cast<double>(weight.numel())}});
    }
  }
  result["weights"] = weights;
  result["zeros"] = zeros;
  result["sparsity"] = static_cast<double>(zeros) / static_cast<double>(weights);
  result["layers"] = layers;
  return result;
}

std::string inspect_table(const nlohmann::json& inspection) {
  int64_t size_bytes = 0;
  std::string files;
  for (const auto& [file, bytes] : inspection.at("files").items()) {
    size_bytes += bytes.get<int64_t>();
    files += fmt::format("  file {} {}\n", file, human_bytes(bytes.get<int64_t>()));
  }
  std::string text = fmt::format(
      "{}: {}, {} blocks, hidden size {}, {:.1f} M parameters, {}, {}\n{}",
      inspection.at("id").get<std::string>(), inspection.at("family").get<std::string>(),
      inspection.at("blocks").get<int64_t>(), inspection.at("hidden_size").get<int64_t>(),
      static_cast<double>(inspection.at("parameters").get<int64_t>()) / 1e6,
      inspection.at("dtype").get<std::string>(), human_bytes(size_bytes), files);
  size_t width = 5;
  for (const auto& layer : inspection.at("layers")) {
    width = std::max(width, layer.at("name").get_ref<const std::string&>().size());
  }
  text += fmt::format("  {:<{}}  {:>16}  {:>9}  {:>12}  sparsity\n", "layer", width, "shape",
                      "dtype", "bytes");
  for (const auto& layer : inspection.at("layers")) {
    text += fmt::format("  {:<{}}  {:>16}  {:>9}  {:>12}  {:.4f}\n",
                        layer.at("name").get<std::string>(), width,
                        shape_string(layer.at("shape").get<std::vector<int64_t>>()),
                        layer.at("dtype").get<std::string>(), layer.at("bytes").get<int64_t>(),
                        layer.at("sparsity").get<double>());
  }
  text += fmt::format(
      "  sparsity {:.4f}: {} of {} weights are zero\n", inspection.at("sparsity").get<double>(),
      inspection.at("zeros").get<int64_t>(), inspection.at("weights").get<int64_t>());
  return text;
}

}  // namespace prune::report
