#include <prune/report/inspect.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <cmath>

namespace prune::report {
namespace {

// ' ' for nothing, then eight heights up to the largest.
std::string bars(const std::vector<int64_t>& counts) {
  static constexpr const char* kHeights[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const int64_t largest = std::max<int64_t>(1, std::ranges::max(counts));
  std::string text;
  for (const int64_t count : counts) text += kHeights[(8 * count + largest - 1) / largest];
  return text;
}

// How much of their names all layers share, up to and with a dot.
size_t common_prefix(const nlohmann::json& layers) {
  if (layers.size() < 2) return 0;
  const std::string first = layers[0].at("name").get<std::string>();
  size_t length = first.size();
  for (const auto& layer : layers) {
    const std::string name = layer.at("name").get<std::string>();
    const auto [end, other] =
        std::mismatch(first.begin(), first.begin() + length, name.begin(), name.end());
    length = static_cast<size_t>(end - first.begin());
  }
  return first.substr(0, length).rfind('.') + 1;
}

}  // namespace

std::string zero_pattern(const Tensor& weight) {
  const int64_t cols = weight.size(1);
  const Tensor is_zero = weight == 0;
  for (const auto& [n, m] : {std::pair{1, 2}, {2, 4}, {4, 8}}) {
    if (cols % m != 0) continue;
    const Tensor zeros = is_zero.view({-1, m}).sum(1);
    if (zeros.min().item<int64_t>() >= n) return fmt::format("{}:{}", n, m);
  }
  return "";
}

std::vector<int64_t> weight_histogram(const Tensor& weight) {
  const Tensor magnitude = weight.abs().to(at::kFloat).flatten();
  const int64_t kept = magnitude.count_nonzero().item<int64_t>();
  std::vector<int64_t> counts(kHistogramBins, 0);
  if (kept == 0) return counts;
  const double rms =
      std::sqrt(magnitude.square().sum(at::kDouble).item<double>() / static_cast<double>(kept));
  const Tensor bin = (magnitude * (4.0 / rms)).clamp_max_(kHistogramBins - 1).to(at::kLong);
  const Tensor found = at::bincount(bin, {}, kHistogramBins);
  for (int64_t i = 0; i < kHistogramBins; ++i) {
    counts[static_cast<size_t>(i)] = found[i].item<int64_t>();
  }
  counts[0] -= weight.numel() - kept;
  return counts;
}

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
           {"sparsity", static_cast<double>(layer_zeros) / static_cast<double>(weight.numel())},
           {"pattern", zero_pattern(weight)},
           {"histogram", weight_histogram(weight)}});
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
  const auto& layers = inspection.at("layers");
  const size_t prefix = common_prefix(layers);
  const auto name = [&](const nlohmann::json& layer) {
    return layer.at("name").get<std::string>().substr(prefix);
  };
  size_t width = 5;
  for (const auto& layer : layers) width = std::max(width, name(layer).size());
  if (prefix > 0) {
    text += fmt::format("  layers of {}\n",
                        layers[0].at("name").get<std::string>().substr(0, prefix - 1));
  }
  text += fmt::format("  {:<{}} {:>13} {:>8} {:>10} sparsity N:M |w| kept\n", "layer", width,
                      "shape", "dtype", "size");
  for (const auto& layer : layers) {
    text += fmt::format("  {:<{}} {:>13} {:>8} {:>10}   {:.4f} {:<3} {}\n", name(layer), width,
                        shape_string(layer.at("shape").get<std::vector<int64_t>>()),
                        layer.at("dtype").get<std::string>(),
                        human_bytes(layer.at("bytes").get<int64_t>()),
                        layer.at("sparsity").get<double>(), layer.at("pattern").get<std::string>(),
                        bars(layer.at("histogram").get<std::vector<int64_t>>()));
  }
  text += fmt::format(
      "  sparsity {:.4f}: {} of {} weights are zero\n", inspection.at("sparsity").get<double>(),
      inspection.at("zeros").get<int64_t>(), inspection.at("weights").get<int64_t>());
  return text;
}

}  // namespace prune::report
