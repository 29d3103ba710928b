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
#include "weight_parts.h"

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

void Checkpoint::rename(const std::function<std::optional<std::string>(const std::string&)>& rule) {
  std::vector<std::string> names;
  std::map<std::string, Entry> entries;
  for (const std::string& old : names_) {
    const std::optional<std::string> name = rule(old);
    if (!name) continue;
    Entry entry = entries_.at(old);
    entry.info.name = *name;
    if (*name != old) {
      // The file may lack a prefix that the canonical name has.
      const bool lacks_prefix = old.ends_with(entry.stored);
      entry.stored = lacks_prefix ? name->substr(old.size() - entry.stored.size()) : *name;
    }
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

void Checkpoint::replace(const std::filesystem::path& path) {
  const TensorFile& reader = *readers_.emplace_back(open_safetensors(path));
  for (size_t position = 0; position < reader.tensors().size(); ++position) {
    const auto found = entries_.find(reader.tensors()[position].name);
    if (found == entries_.end()) continue;
    // It belongs to the file that the source's tensor is in: the output has as many.
    const size_t file = found->second.info.file;
    std::string stored = std::move(found->second.stored);
    found->second = Entry{reader.tensors()[position], std::move(stored), &reader, position};
    found->second.info.file = file;
  }
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

int64_t Checkpoint::dequantize(const WeightFormat& format) {
  format_ = format;
  std::vector<WeightParts> weights = find_weight_parts(*this, format);
  std::map<std::string, Entry> dense;
  std::map<std::string, std::string> name_at;  // first part -> weight
  std::set<std::string> gone;
  for (WeightParts& weight : weights) {
    const std::string& name = weight.dense.name;
    const std::string& first = weight.names.front();
    Entry made = entry(first);
    // The name under which the file of a dense model would hold it.
    made.stored.resize(made.stored.size() - (first.size() - name.size()));
    for (const std::string& part : weight.names) made.parts.push_back(entry(part));
    made.form = std::move(weight.form);
    made.decode = std::move(weight.decode);
    name_at[first] = name;
    gone.insert(weight.names.begin(), weight.names.end());
    gone.insert(weight.obsolete.begin(), weight.obsolete.end());
    made.info = std::move(weight.dense);
    dense.emplace(made.info.name, std::move(made));
  }
  std::vector<std::string> names;
  for (const std::string& name : names_) {
    if (const auto found = name_at.find(name); found != name_at.end()) {
      names.push_back(found->second);
    } else if (!gone.contains(name)) {
      names.push_back(name);
    }
  }
  for (const std::string& part : gone) entries_.erase(part);
  for (auto& [name, weight] : dense) {
    if (!entries_.emplace(name, std::move(weight)).second) {
      throw input_error(fmt::format("{}: tensor '{}' is stored both dense and quantized",
                                    folder_.string(), printable(name)));
    }
  }
  names_ = std::move(names);
  return std::ssize(weights);
}

std::string Checkpoint::stored_form(const std::string& name) const {
  const Entry& found = entry(name);
  return found.parts.empty() ? dtype_name(found.info.dtype) : found.form;
}

int64_t Checkpoint::stored_bytes(const std::string& name) const {
  const Entry& found = entry(name);
  if (found.parts.empty()) return found.info.size_bytes;
  int64_t size_bytes = 0;
  for (const Entry& part : found.parts) size_bytes += part.info.size_bytes;
  return size_bytes;
}

std::vector<TensorRef> Checkpoint::pieces(const std::string& name) const {
  const std::vector<int64_t>& shape = info(name).shape;
  if (!is_quantized(name) || shape.size() != 3) return {{.name = name}};
  std::vector<TensorRef> matrices;
  for (int64_t i = 0; i < shape[0]; ++i) matrices.push_back({.name = name, .index = i});
  return matrices;
}

std::vector<Tensor> Checkpoint::load_parts(const Entry& found) {
  std::vector<Tensor> parts;
  for (const Entry& part : found.parts) parts.push_back(part.file->load(part.position));
  return parts;
}

Tensor Checkpoint::load(const Entry& found, int64_t index) {
  if (!found.slices.empty() && index < 0) {
    return load_stored(found, index)
        .index_select(found.sliced_dim, at::tensor(found.slices, at::kLong));
  }
  return load_stored(found,
                     found.slices.empty() ? index : found.slices.at(static_cast<size_t>(index)));
}

Tensor Checkpoint::load_stored(const Entry& found, int64_t index) {
  if (!found.parts.empty()) return found.decode(load_parts(found), index);
  const Tensor whole = found.file->load(found.position);
  return index < 0 ? whole : whole.select(0, index);
}

Tensor Checkpoint::load(const std::string& name) const { return load(TensorRef{.name = name}); }

Tensor Checkpoint::load(const TensorRef& part) const {
  const Entry& found = entry(part.name);
  TensorRef within = part;
  within.index = -1;
  try {
    const Tensor value = load(found, part.index);
    return part.is_whole() ? value : within.in(value);
  } catch (const c10::Error& error) {
    throw as_error(error).in(fmt::format("tensor '{}'", printable(part.name)));
  }
}

QuantizedWeight Checkpoint::load_quantized(const std::string& name) const {
  const Entry& found = entry(name);
  try {
    return unpacked(load_parts(found), found.info.shape, format_.quantization);
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
