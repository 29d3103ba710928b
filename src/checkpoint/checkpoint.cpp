#include <fmt/format.h>
#include <prune/checkpoint/checkpoint.h>
#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/as_error.h>
#include <prune/core/nearest.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <set>
#include <utility>

#include "name_rule.h"
#include "shard_index.h"

namespace prune::checkpoint {
namespace {

Error input_error(const std::string& message) { return {ErrorKind::kInput, message}; }

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& folder) {
  WeightFiles weights = find_weight_files(folder);
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.files_ = std::move(weights.names);
  for (size_t file = 0; file < checkpoint.files_.size(); ++file) {
    checkpoint.readers_.push_back(weights.open(folder / checkpoint.files_[file]));
    checkpoint.add_file(file, weights.weight_map);
  }
  for (const auto& [name, file] : weights.weight_map) {
    if (checkpoint.contains(name)) continue;
    checkpoint.listed_only_[name] =
        fmt::format("{}: tensor '{}' is not in this file, though {} lists it there",
                    (folder / file).string(), printable(name), weights.index);
  }
  return checkpoint;
}

void Checkpoint::add_file(size_t file, const std::map<std::string, std::string>& weight_map) {
  const TensorFile& reader = *readers_[file];
  for (size_t position = 0; position < reader.tensors().size(); ++position) {
    TensorInfo info = reader.tensors()[position];
    info.file = file;
    const std::string name = info.name;
    const auto [known, added] =
        entries_.try_emplace(name, Entry{std::move(info), name, &reader, position});
    const auto listed = weight_map.find(name);
    if (!added && listed != weight_map.end()) {
      if (listed->second != files_[file]) continue;
      std::erase(names_, name);
      known->second = Entry{reader.tensors()[position], name, &reader, position};
      known->second.info.file = file;
    } else if (!added) {
      throw input_error(fmt::format("{}: tensor '{}' is also in '{}'",
                                    (folder_ / files_[file]).string(), printable(name),
                                    files_[known->second.info.file]));
    }
    names_.push_back(name);
  }
}

void Checkpoint::apply(const NameRule& rule) {
  const std::optional<std::string> embedding = stored_embedding(rule);
  std::vector<std::string> names;
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> stored_as;
  for (const std::string& stored : names_) {
    std::string name = canonical_name(rule, stored);
    if (rule.tied && name == rule.head && !rule.embedding.empty()) {
      if (embedding) continue;
      name = rule.embedding;
    }
    if (const auto [other, added] = stored_as.emplace(name, stored); !added) {
      throw input_error(fmt::format("{}: tensors '{}' and '{}' both map to '{}'", folder_.string(),
                                    printable(other->second), printable(stored), printable(name)));
    }
    Entry entry = entries_.at(stored);
    entry.info.name = name;
    names.push_back(name);
    entries.emplace(name, std::move(entry));
  }
  names_ = std::move(names);
  entries_ = std::move(entries);
  std::map<std::string, std::string> listed_only;
  for (auto& [stored, fault] : listed_only_) {
    listed_only.emplace(canonical_name(rule, stored), std::move(fault));
  }
  listed_only_ = std::move(listed_only);
}

std::optional<std::string> Checkpoint::stored_embedding(const NameRule& rule) const {
  const auto found = std::ranges::find_if(names_, [&](const std::string& stored) {
    return stored != rule.head && canonical_name(rule, stored) == rule.embedding;
  });
  return found == names_.end() ? std::nullopt : std::optional(*found);
}

bool Checkpoint::stores_own_head(const NameRule& rule) const {
  const std::optional<std::string> embedding = stored_embedding(rule);
  if (!embedding || !contains(rule.head)) return false;
  const TensorInfo& head = info(rule.head);
  const TensorInfo& table = info(*embedding);
  const bool same = head.dtype == table.dtype && head.shape == table.shape &&
                    load(rule.head).equal(load(*embedding));
  drop(rule.head);
  drop(*embedding);
  return !same;
}

void Checkpoint::restore_names(const std::function<bool(const std::string&)>& known) {
  for (std::string& name : names_) {
    const std::string& stored = entry(name).stored;
    if (known(name) || stored == name || contains(stored)) continue;
    auto node = entries_.extract(name);
    name = stored;
    node.key() = name;
    node.mapped().info.name = name;
    entries_.insert(std::move(node));
  }
}

void Checkpoint::rename(
    const std::function<std::optional<std::string>(const std::string&)>& rule) {
  std::vector<std::string> names;
  std::map<std::string, Entry> entries;
  for (const std::string& old : names_) {
    const std::optional<std::string> name = rule(old);
    if (!name) continue;
    Entry entry = entries_.at(old);
    entry.info.name = *name;
    names.push_back(*name);
    TORCH_INTERNAL_ASSERT(entries.emplace(*name, std::move(entry)).second, *name);
  }
  names_ = std::move(names);
  entries_ = std::move(entries);
}

void Checkpoint::select(const std::string& name, int64_t dim, std::vector<int64_t> slices) {
  entry(name);
  Entry& found = entries_.at(name);
  int64_t& size = found.info.shape.at(static_cast<size_t>(dim));
  found.info.size_bytes = found.info.size_bytes / size * std::ssize(slices);
  size = std::ssize(slices);
  found.sliced_dim = dim;
  found.slices = std::move(slices);
}

const Checkpoint::Entry& Checkpoint::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second;
  if (const auto fault = listed_only_.find(name); fault != listed_only_.end()) {
    throw input_error(fault->second);
  }
  const std::string nearest = nearest_word(name, names_);
  const std::string hint =
      nearest.empty() ? "" : fmt::format("; the nearest name is '{}'", printable(nearest));
  throw input_error(
      fmt::format("{}: tensor '{}' is missing{}", folder_.string(), printable(name), hint));
}

const TensorInfo& Checkpoint::info(const std::string& name) const { return entry(name).info; }

// Entry of layer.weight, assembled from its parts; their shapes must match.
Checkpoint::Entry Checkpoint::quantized_entry(const std::string& layer) const {
  const Entry& packed = entry(layer + ".weight_packed");
  const auto fault = [&](const TensorInfo& part, const std::string& expected) {
    return input_error(fmt::format("{}: tensor '{}' is {} {}, expected {}",
                                   (folder_ / files_[part.file]).string(), printable(part.name),
                                   dtype_name(part.dtype), shape_string(part.shape), expected));
  };
  const Entry& shape = entry(layer + ".weight_shape");
  if (shape.info.dtype != at::kLong || shape.info.shape != std::vector<int64_t>{2}) {
    throw fault(shape.info, "int64 [2]");
  }
  const Tensor sizes = load(shape);
  const auto rows = sizes[0].item<int64_t>();
  const auto cols = sizes[1].item<int64_t>();
  constexpr int64_t kLargest = int64_t{1} << 31;  // no product of sizes below overflows
  if (rows < 1 || cols < 1 || rows > kLargest || cols > kLargest) {
    throw fault(shape.info,
                fmt::format("sizes between 1 and {}, not {} x {}", kLargest, rows, cols));
  }
  if (cols % quantization_.columns_of_group(cols) != 0) {
    throw fault(packed.info,
                fmt::format("a number of columns that is a multiple of the group size {}, not {}",
                            quantization_.group_size, cols));
  }
  Entry weight = packed;
  weight.info.name = layer + ".weight";
  weight.info.dtype = entry(layer + ".weight_scale").info.dtype;
  weight.info.shape = {rows, cols};
  weight.info.size_bytes = 0;
  for (const TensorInfo& expected :
       packed_infos(layer, rows, cols, weight.info.dtype, quantization_)) {
    const Entry& part = entry(expected.name);
    if (part.info.dtype != expected.dtype || part.info.shape != expected.shape) {
      throw fault(part.info, fmt::format("{} {} for a weight of {} x {} in {} bits",
                                         dtype_name(expected.dtype), shape_string(expected.shape),
                                         rows, cols, quantization_.wbits));
    }
    weight.info.size_bytes += part.info.size_bytes;
    weight.parts.push_back(part);
  }
  weight.parts.pop_back();  // weight_shape, which load() does not need
  return weight;
}

void Checkpoint::dequantize(const Quantization& quantization) {
  constexpr std::string_view kPacked = ".weight_packed";
  quantization_ = quantization;
  std::vector<std::string> names;
  std::map<std::string, Entry> weights;
  std::set<std::string> parts;
  for (const std::string& name : names_) {
    if (!name.ends_with(kPacked)) continue;
    const std::string layer = name.substr(0, name.size() - kPacked.size());
    const Entry& weight = weights.emplace(layer + ".weight", quantized_entry(layer)).first->second;
    for (const Entry& part : weight.parts) parts.insert(part.info.name);
    parts.insert(layer + ".weight_shape");
  }
  for (const std::string& name : names_) {
    if (name.ends_with(kPacked)) {
      names.push_back(name.substr(0, name.size() - std::string_view("_packed").size()));
    } else if (!parts.contains(name)) {
      names.push_back(name);
    }
  }
  for (const std::string& part : parts) entries_.erase(part);
  for (auto& [name, weight] : weights) {
    if (!entries_.emplace(name, std::move(weight)).second) {
      throw input_error(fmt::format("{}: tensor '{}' is stored both dense and quantized",
                                    folder_.string(), printable(name)));
    }
  }
  names_ = std::move(names);
}

Tensor Checkpoint::load(const Entry& found) const {
  const Tensor whole = found.parts.empty() ? found.file->load(found.position)
                                           : prune::dequantize(load_quantized(found));
  if (found.slices.empty()) return whole;
  return whole.index_select(found.sliced_dim, at::tensor(found.slices, at::kLong));
}

QuantizedWeight Checkpoint::load_quantized(const Entry& found) const {
  std::vector<std::pair<std::string, Tensor>> parts;
  for (const Entry& part : found.parts) parts.emplace_back(part.info.name, load(part));
  return unpacked(parts, found.info.shape, quantization_);
}

Tensor Checkpoint::load(const std::string& name) const {
  const Entry& found = entry(name);
  try {
    return load(found);
  } catch (const c10::Error& error) {
    throw as_error(error).in(fmt::format("tensor '{}'", printable(name)));
  }
}

QuantizedWeight Checkpoint::load_quantized(const std::string& name) const {
  const Entry& found = entry(name);
  try {
    return load_quantized(found);
  } catch (const c10::Error& error) {
    throw as_error(error).in(fmt::format("tensor '{}'", printable(name)));
  }
}

Tensor Checkpoint::load(const std::string& name, at::IntArrayRef shape) const {
  const TensorInfo& found = info(name);
  if (shape != at::IntArrayRef(found.shape)) {
    throw input_error(fmt::format("{}: tensor '{}' has shape {}, expected {}",
                                  (folder_ / files_[found.file]).string(), printable(name),
                                  shape_string(found.shape), shape_string(shape)));
  }
  return load(name);
}

void Checkpoint::prefetch(const std::string& name) const {
  const Entry& found = entry(name);
  found.file->prefetch(found.position);
  for (const Entry& part : found.parts) part.file->prefetch(part.position);
}

void Checkpoint::drop(const std::string& name) const {
  const Entry& found = entry(name);
  found.file->drop(found.position);
  for (const Entry& part : found.parts) part.file->drop(part.position);
}

}  // namespace prune::checkpoint
