#include <prune/report/inspect.h>

#include <algorithm>
#include <cmath>

namespace prune::report {
namespace {

// One character per count: a space for 0, else one of eight heights relative to the largest.
std::string bars(const std::vector<int64_t>& counts) {
  static constexpr const char* kHeights[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const int64_t largest = std::max<int64_t>(1, std::ranges::max(counts));
  std::string text;
  for (const int64_t count : counts) text += kHeights[(8 * count + largest - 1) / largest];
  return text;
}

// Length of the prefix that all layers' names share, up to and including a dot.
size_t common_prefix(const std::vector<LayerInspection>& layers) {
  if (layers.size() < 2) return 0;
  const std::string& first = layers[0].name;
  size_t length = first.size();
  for (const LayerInspection& layer : layers) {
    const auto [end, other] =
        std::mismatch(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(length),
                      layer.name.begin(), layer.name.end());
    length = static_cast<size_t>(end - first.begin());
  }
  return first.substr(0, length).rfind('.') + 1;
}

double fraction(int64_t part, int64_t all) {
  return static_cast<double>(part) / static_cast<double>(all);
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

double LayerInspection::sparsity() const { return fraction(zeros, element_count(shape)); }

int64_t Inspection::weights() const {
  int64_t sum = 0;
  for (const LayerInspection& layer : layers) sum += element_count(layer.shape);
  return sum;
}

int64_t Inspection::zeros() const {
  int64_t sum = 0;
  for (const LayerInspection& layer : layers) sum += layer.zeros;
  return sum;
}

double Inspection::sparsity() const { return fraction(zeros(), weights()); }

Inspection inspect(const models::Model& model, const std::string& id) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  model.check_values();
  Inspection result = {.model = describe_model(model, id)};
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears(block)) {
      const std::string name = model.block_prefix(block) + spec.name;
      const checkpoint::TensorRef& stored = model.stored(name);
      const checkpoint::TensorInfo& info = source.info(stored.name);
      const Tensor weight = model.stored_weight(name).contiguous();
      result.layers.push_back({.name = name,
                               .shape = weight.sizes().vec(),
                               .dtype = source.stored_form(stored.name),
                               .size_bytes = source.stored_bytes(stored.name) * weight.numel() /
                                             element_count(info.shape),
                               .zeros = weight.numel() - weight.count_nonzero().item<int64_t>(),
                               .pattern = zero_pattern(weight),
                               .histogram = weight_histogram(weight)});
      source.drop(stored.name);
    }
  }
  return result;
}

nlohmann::json to_json(const Inspection& inspection) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerInspection& layer : inspection.layers) {
    layers.push_back({{"name", layer.name},
                      {"shape", layer.shape},
                      {"dtype", layer.dtype},
                      {"bytes", layer.size_bytes},
                      {"zeros", layer.zeros},
                      {"sparsity", layer.sparsity()},
                      {"pattern", layer.pattern},
                      {"histogram", layer.histogram}});
  }
  nlohmann::json result = to_json(inspection.model);
  result["weights"] = inspection.weights();
  result["zeros"] = inspection.zeros();
  result["sparsity"] = inspection.sparsity();
  result["layers"] = layers;
  return result;
}

std::string inspect_table(const Inspection& inspection) {
  const ModelDescription& model = inspection.model;
  const std::vector<LayerInspection>& layers = inspection.layers;
  int64_t size_bytes = 0;
  std::string files;
  for (const auto& [file, bytes] : model.files) {
    size_bytes += bytes;
    files += fmt::format("  file {} {}\n", file, human_bytes(bytes));
  }
  std::string text = fmt::format(
      "{}: {}, {} blocks, hidden size {}, {:.1f} M parameters, {}, {}\n{}", model.id, model.family,
      model.blocks, model.hidden_size, static_cast<double>(model.parameters) / 1e6, model.weights(),
      human_bytes(size_bytes), files);
  const size_t prefix = common_prefix(layers);
  size_t width = 5;
  for (const LayerInspection& layer : layers) width = std::max(width, layer.name.size() - prefix);
  if (prefix > 0) {
    text += fmt::format("  layers of {}\n", layers[0].name.substr(0, prefix - 1));
  }
  text += fmt::format("  {:<{}} {:>13} {:>8} {:>10} sparsity N:M |w| kept\n", "layer", width,
                      "shape", "dtype", "size");
  for (const LayerInspection& layer : layers) {
    text +=
        fmt::format("  {:<{}} {:>13} {:>8} {:>10}   {:.4f} {:<3} {}\n", layer.name.substr(prefix),
                    width, shape_string(layer.shape), layer.dtype, human_bytes(layer.size_bytes),
                    layer.sparsity(), layer.pattern, bars(layer.histogram));
  }
  text += fmt::format("  sparsity {:.4f}: {} of {} weights are zero\n", inspection.sparsity(),
                      inspection.zeros(), inspection.weights());
  return text;
}

}  // namespace prune::report
