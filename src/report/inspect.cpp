#include <prune/report/inspect.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

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

std::string part_of(const models::LinearSpec& layer, const models::BlockSpec& block) {
  using models::Role;
  if (layer.expert >= 0) return "experts";
  switch (layer.role) {
    case Role::kMixerIn:
    case Role::kMixerGate:
    case Role::kMixerOut:
      return "mixer";
    case Role::kOut:
      return block.has_attention() ? "attention" : "mixer";
    case Role::kGate:
    case Role::kUp:
    case Role::kGateUp:
    case Role::kFc1:
    case Role::kDown:
      return "feed-forward";
    default:
      return "attention";
  }
}

TensorTotals count_matrices(const models::Model& model, const std::set<std::string>& names) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  TensorTotals totals;
  for (const std::string& name : names) {
    if (!source.contains(name)) continue;
    totals.tensors += 1;
    totals.parameters += element_count(source.info(name).shape);
    totals.size_bytes += source.stored_bytes(name);
    const std::string dtype = source.stored_form(name);
    totals.dtype = totals.dtype.empty() || totals.dtype == dtype ? dtype : "mixed";
    for (const checkpoint::TensorRef& piece : source.pieces(name)) {
      const Tensor values = source.load(piece);
      totals.zeros += values.numel() - values.count_nonzero().item<int64_t>();
    }
    source.drop(name);
  }
  return totals;
}

// What lies outside the layers of blocks.
void inspect_ends_(Inspection& inspection, const models::Model& model) {
  const checkpoint::Checkpoint& source = model.checkpoint();
  const models::EmbeddingSpec& embedding = model.shape().embedding;
  std::set<std::string> counted = {embedding.tokens, embedding.positions};
  if (embedding.layer_inputs) counted.insert(embedding.layer_inputs->table);
  inspection.embedding = count_matrices(model, counted);
  const std::string& head = model.shape().head.weight;
  inspection.tied_head = counted.contains(head);
  if (!inspection.tied_head) inspection.head = count_matrices(model, {head});
  counted.insert(head);
  for (const LayerInspection& layer : inspection.layers) {
    counted.insert(model.stored(layer.name).name);
  }
  for (const std::string& name : source.names()) {
    if (counted.contains(name)) continue;
    inspection.others.tensors += 1;
    inspection.others.parameters += element_count(source.info(name).shape);
    inspection.others.size_bytes += source.stored_bytes(name);
  }
}

// "17", "1.6 k", "4.7 M", "66.0 B".
std::string short_count(int64_t count) {
  const auto number = static_cast<double>(count);
  if (count < 1000) return fmt::format("{}", count);
  if (number < 999'950) return fmt::format("{:.1f} k", number / 1e3);
  if (number < 999'950'000) return fmt::format("{:.1f} M", number / 1e6);
  return fmt::format("{:.1f} B", number / 1e9);
}

struct TreeRow {
  std::string label;
  std::string parameters = {};
  std::string size = {};
  std::string dtype = {};
  std::string sparsity = {};
  std::string pattern = {};
};

TreeRow row_of(const std::string& label, const TensorTotals& totals) {
  return {.label = label,
          .parameters = short_count(totals.parameters),
          .size = human_bytes(totals.size_bytes),
          .dtype = totals.dtype};
}

using Layers = std::vector<const LayerInspection*>;

TreeRow row_of(const std::string& label, const Layers& layers) {
  TensorTotals totals;
  double least = 1.0;
  double most = 0.0;
  const LayerInspection& first = *layers.front();
  bool one_dtype = true;
  bool one_pattern = true;
  for (const LayerInspection* layer : layers) {
    totals.parameters += element_count(layer->shape);
    totals.size_bytes += layer->size_bytes;
    least = std::min(least, layer->sparsity());
    most = std::max(most, layer->sparsity());
    one_dtype = one_dtype && layer->dtype == first.dtype;
    one_pattern = one_pattern && layer->pattern == first.pattern;
  }
  TreeRow row = row_of(label, totals);
  row.dtype = one_dtype ? first.dtype : "mixed";
  row.sparsity = fmt::format("{:.4f}", least);
  const std::string largest = fmt::format("{:.4f}", most);
  if (largest != row.sparsity) row.sparsity += ".." + largest;
  if (one_pattern) row.pattern = first.pattern;
  return row;
}

// "0-29", "0-2, 4-6", "0-2, 4-6, ..., 44-46". @param blocks ascending
std::string ranges(const std::vector<int64_t>& blocks) {
  std::vector<std::string> parts;
  for (size_t begin = 0, end = 0; begin < blocks.size(); begin = end) {
    for (end = begin + 1; end < blocks.size() && blocks[end] == blocks[end - 1] + 1;) ++end;
    const int64_t last = blocks[end - 1];
    parts.push_back(last == blocks[begin] ? fmt::format("{}", last)
                                          : fmt::format("{}-{}", blocks[begin], last));
  }
  if (parts.size() > 4) {
    parts.erase(parts.begin() + 2, parts.end() - 1);
    parts.insert(parts.begin() + 2, "...");
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Blocks whose layers have the same parts, shapes and dtypes.
struct BlockGroup {
  std::vector<int64_t> blocks = {};
  Layers layers = {};
};

std::vector<BlockGroup> group_blocks(const std::vector<LayerInspection>& layers) {
  using Form = std::vector<std::tuple<std::string, std::vector<int64_t>, std::string>>;
  std::map<int64_t, Layers> by_block;
  for (const LayerInspection& layer : layers) by_block[layer.block].push_back(&layer);
  std::vector<BlockGroup> groups;
  std::map<Form, size_t> group_of;
  for (const auto& [block, members] : by_block) {
    Form form;
    for (const LayerInspection* layer : members) {
      form.emplace_back(layer->part, layer->shape, layer->dtype);
    }
    const auto [found, added] = group_of.emplace(std::move(form), groups.size());
    if (added) groups.emplace_back();
    BlockGroup& group = groups[found->second];
    group.blocks.push_back(block);
    group.layers.insert(group.layers.end(), members.begin(), members.end());
  }
  return groups;
}

// The group's row and one for each of its parts.
std::vector<TreeRow> rows_of(const BlockGroup& group) {
  const size_t count = group.blocks.size();
  std::vector<TreeRow> rows = {
      row_of((count > 1 ? "blocks " : "block ") + ranges(group.blocks), group.layers)};
  std::vector<std::string> parts;
  for (const LayerInspection* layer : group.layers) {
    if (std::ranges::find(parts, layer->part) == parts.end()) parts.push_back(layer->part);
  }
  for (const std::string& part : parts) {
    Layers members;
    std::ranges::copy_if(group.layers, std::back_inserter(members),
                         [&](const LayerInspection* layer) { return layer->part == part; });
    const size_t of_block = members.size() / count;
    rows.push_back(
        row_of(fmt::format("  {}, {}{} {}", part, count > 1 ? fmt::format("{} x ", count) : "",
                           of_block, of_block > 1 ? "layers" : "layer"),
               members));
  }
  return rows;
}

std::string model_lines(const ModelDescription& model) {
  int64_t size_bytes = 0;
  std::string files;
  for (const auto& [file, bytes] : model.files) {
    size_bytes += bytes;
    files += fmt::format("  file {} {}\n", file, human_bytes(bytes));
  }
  return fmt::format("{}: {}, {} blocks, hidden size {}, {:.1f} M parameters, {}, {}\n{}", model.id,
                     model.family, model.blocks, model.hidden_size,
                     static_cast<double>(model.parameters) / 1e6, model.weights(),
                     human_bytes(size_bytes), files);
}

std::string sparsity_line(const Inspection& inspection) {
  return fmt::format("  sparsity {:.4f}: {} of {} weights are zero\n", inspection.sparsity(),
                     inspection.zeros(), inspection.weights());
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
                               .block = block,
                               .part = part_of(spec, model.shape().block(block)),
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
  inspect_ends_(result, model);
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

std::string inspect_tree(const Inspection& inspection) {
  const auto with_sparsity = [](TreeRow row, const TensorTotals& totals) {
    if (totals.parameters > 0) {
      row.sparsity = fmt::format("{:.4f}", fraction(totals.zeros, totals.parameters));
    }
    return row;
  };
  std::vector<TreeRow> rows = {
      with_sparsity(row_of("embedding", inspection.embedding), inspection.embedding)};
  for (const BlockGroup& group : group_blocks(inspection.layers)) {
    std::ranges::move(rows_of(group), std::back_inserter(rows));
  }
  if (inspection.head.tensors > 0) {
    rows.push_back(with_sparsity(row_of("head", inspection.head), inspection.head));
  } else {
    rows.push_back({.label = inspection.tied_head ? "head: the embedding" : "head: none"});
  }
  rows.push_back(
      row_of(fmt::format("other, {} tensors", inspection.others.tensors), inspection.others));
  size_t width = 0;
  for (const TreeRow& row : rows) width = std::max(width, row.label.size());
  std::string text = model_lines(inspection.model);
  rows.insert(rows.begin(), {"part", "parameters", "size", "dtype", "sparsity", "N:M"});
  for (const TreeRow& row : rows) {
    const std::string line =
        fmt::format("  {:<{}} {:>10} {:>10} {:>8}  {:<14} {}", row.label, width, row.parameters,
                    row.size, row.dtype, row.sparsity, row.pattern);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text + sparsity_line(inspection);
}

std::string inspect_table(const Inspection& inspection) {
  const std::vector<LayerInspection>& layers = inspection.layers;
  std::string text = model_lines(inspection.model);
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
  return text + sparsity_line(inspection);
}

}  // namespace prune::report
