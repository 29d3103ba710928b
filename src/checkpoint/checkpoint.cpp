#include <fmt/format.h>
#include <prune/checkpoint/checkpoint.h>
#include <prune/core/as_error.h>
#include <prune/core/nearest.h>
#include <prune/core/printable.h>

#include <algorithm>
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
    checkpoint.add_file(file);
  }
  for (const auto& [name, file] : weights.weight_map) {
    const auto found = checkpoint.entries_.find(name);
    if (found == checkpoint.entries_.end() || checkpoint.files_[found->second.info.file] != file) {
      throw input_error(fmt::format("{}: tensor '{}' of {} is not in it", (folder / file).string(),
                                    printable(name), weights.index));
    }
  }
  return checkpoint;
}

void Checkpoint::add_file(size_t file) {
  const TensorFile& reader = *readers_[file];
  for (size_t position = 0; position < reader.tensors().size(); ++position) {
    TensorInfo info = reader.tensors()[position];
    info.file = file;
    const std::string name = info.name;
    const auto [known, added] =
        entries_.try_emplace(name, Entry{std::move(info), &reader, position});
    if (!added) {
      throw input_error(fmt::format("{}: tensor '{}' is also in '{}'",
                                    (folder_ / files_[file]).string(), printable(name),
                                    files_[known->second.info.file]));
    }
    names_.push_back(name);
  }
}

void Checkpoint::apply(const NameRule& rule) {
  std::vector<std::string> names;
  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> stored_as;
  for (const std::string& stored : names_) {
    std::optional<std::string> name = canonical_name(rule, stored);
    if (!name) continue;
    if (rule.tied && *name == rule.head && !rule.embedding.empty()) {
      if (has_embedding(rule)) continue;
      name = rule.embedding;
    }
    if (const auto [other, added] = stored_as.emplace(*name, stored); !added) {
      throw input_error(fmt::format("{}: tensors '{}' and '{}' are both '{}'", folder_.string(),
                                    printable(other->second), printable(stored), printable(*name)));
    }
    Entry entry = entries_.at(stored);
    entry.info.name = *name;
    names.push_back(*name);
    entries.emplace(*name, std::move(entry));
  }
  names_ = std::move(names);
  entries_ = std::move(entries);
}

bool Checkpoint::has_embedding(const NameRule& rule) const {
  return std::ranges::any_of(names_, [&](const std::string& stored) {
    return stored != rule.head && canonical_name(rule, stored) == rule.embedding;
  });
}

const Checkpoint::Entry& Checkpoint::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second;
  const std::string nearest = nearest_word(name, names_);
  const std::string hint =
      nearest.empty() ? "" : fmt::format("; the nearest name is '{}'", printable(nearest));
  throw input_error(
      fmt::format("{}: tensor '{}' is missing{}", folder_.string(), printable(name), hint));
}

const TensorInfo& Checkpoint::info(const std::string& name) const { return entry(name).info; }

Tensor Checkpoint::load(const std::string& name) const {
  const Entry& found = entry(name);
  try {
    return found.file->load(found.position);
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
}

void Checkpoint::drop(const std::string& name) const {
  const Entry& found = entry(name);
  found.file->drop(found.position);
}

}  // namespace prune::checkpoint
