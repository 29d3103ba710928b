#include <fmt/format.h>
#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "output_file.h"
#include "output_folder.h"
#include "printable.h"
#include "shard_layout.h"
#include "side_files.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";

Error defect(const std::string& message) { return {ErrorKind::kInternal, message}; }

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// True when removing `outer` would remove `inner` too.
bool contains_path(const fs::path& outer, const fs::path& inner) {
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

/// Overwriting the source would be the loss of the dense model.
void check_apart_from_source(const fs::path& source, const fs::path& folder) {
  if (contains_path(folder, resolve_output(source))) {
    throw Error(ErrorKind::kOutput, fmt::format("{}: the output folder is or holds the source '{}'",
                                                folder.string(), source.string()));
  }
}

}  // namespace

struct CheckpointWriter::State {
  struct Slot {
    size_t shard;
    TensorInfo info;
    int64_t offset;
  };

  State(const Checkpoint& checkpoint, const fs::path& target, WriterOptions options)
      : source(checkpoint), folder(target), output(target, options.overwrite) {}

  void make_slots();
  void check_space() const;
  void create_shards();
  const Slot& slot(const std::string& name) const;
  void check_complete();
  void put_file(const std::string& name, const std::string& content);
  void put_index();

  const Checkpoint& source;
  const fs::path folder;
  // Before the shards, so that they are closed when it removes what was not committed.
  OutputFolder output;
  std::vector<PlannedShard> plan;
  std::vector<OutputFile> shards;
  std::map<std::string, Slot> slots;
  std::map<std::string, int64_t> other_files;
  bool committed = false;

  std::mutex mutex;
  std::set<std::string> written;
};

void CheckpointWriter::State::make_slots() {
  plan = plan_shards(source);
  for (size_t i = 0; i < plan.size(); ++i) {
    for (const PlacedTensor& tensor : plan[i].layout.tensors) {
      slots.emplace(tensor.info.name,
                    Slot{.shard = i, .info = tensor.info, .offset = tensor.offset});
    }
  }
}

void CheckpointWriter::State::check_space() const {
  int64_t needed = 0;
  for (const PlannedShard& shard : plan) needed += shard.layout.size_bytes;
  const int64_t available = free_bytes(output.partial());
  if (available < 0 || needed <= available) return;
  throw Error(
      ErrorKind::kOutput,
      fmt::format("{}: not enough space: {} bytes needed ({}), {} free ({})", folder.string(),
                  needed, human_bytes(needed), available, human_bytes(available)));
}

void CheckpointWriter::State::create_shards() {
  for (const PlannedShard& shard : plan) {
    OutputFile& file = shards.emplace_back(output.partial() / shard.name);
    file.reserve(shard.layout.size_bytes);
    file.write_at(0, bytes_of(shard.layout.header));
  }
}

const CheckpointWriter::State::Slot& CheckpointWriter::State::slot(const std::string& name) const {
  if (committed) throw defect("the writer is closed");
  const auto found = slots.find(name);
  if (found == slots.end()) {
    throw defect(fmt::format("tensor '{}' is not in the output", printable(name)));
  }
  return found->second;
}

void CheckpointWriter::State::check_complete() {
  const std::scoped_lock lock(mutex);
  for (const auto& [name, slot] : slots) {
    if (written.count(name) != 0) continue;
    throw defect(fmt::format("{} of {} tensors were not written, '{}' among them",
                             slots.size() - written.size(), slots.size(), printable(name)));
  }
}

void CheckpointWriter::State::put_file(const std::string& name, const std::string& content) {
  OutputFile file(output.partial() / name);
  file.write_at(0, bytes_of(content));
  file.sync();
  file.close();
  other_files[name] = static_cast<int64_t>(content.size());
}

/// After the tensors, so that a folder with an index has all its weights.
void CheckpointWriter::State::put_index() {
  const bool wanted = plan.size() > 1 && other_files.count(kIndexName) == 0;
  if (wanted) put_file(kIndexName, index_text(plan));
}

CheckpointWriter::CheckpointWriter(const Checkpoint& source, fs::path folder,
                                   WriterOptions options) {
  const fs::path target = resolve_output(folder);
  check_apart_from_source(source.folder(), target);
  state_ = std::make_unique<State>(source, target, options);
  state_->make_slots();
  state_->check_space();
  state_->create_shards();
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::write(const std::string& name, const Tensor& value) {
  const State::Slot& slot = state_->slot(name);
  if (value.scalar_type() != slot.info.dtype || value.sizes() != at::IntArrayRef(slot.info.shape)) {
    throw defect(fmt::format("tensor '{}': {} {} written, the file has {} {}", printable(name),
                             dtype_name(value.scalar_type()), shape_string(value.sizes()),
                             dtype_name(slot.info.dtype), shape_string(slot.info.shape)));
  }
  const Tensor dense = value.detach().to(at::kCPU).contiguous();
  state_->shards[slot.shard].write_at(
      slot.offset, {static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()});
  const std::scoped_lock lock(state_->mutex);
  state_->written.insert(name);
}

void CheckpointWriter::copy_rest() {
  for (const std::string& name : state_->source.names()) {
    if (state_->written.count(name) != 0) continue;
    write(name, state_->source.load(name));
    // Read pages count as ours until they are given back.
    state_->source.drop(name);
  }
  for (const std::string& name : side_files(state_->source.folder())) {
    if (state_->other_files.count(name) != 0) continue;
    state_->put_file(name, read_file(state_->source.folder() / name));
  }
  state_->put_index();
}

void CheckpointWriter::write_text(const std::string& file_name, const std::string& content) {
  if (state_->committed) throw defect("the writer is closed");
  const bool plain =
      !file_name.empty() && !file_name.starts_with('.') && file_name.find('/') == std::string::npos;
  const bool taken =
      file_name == kIndexName ||
      std::ranges::find(state_->plan, file_name, &PlannedShard::name) != state_->plan.end();
  if (!plain || taken) {
    throw defect(fmt::format("'{}' cannot be a file beside the shards", printable(file_name)));
  }
  state_->put_file(file_name, content);
}

void CheckpointWriter::commit() {
  if (state_->committed) throw defect("the writer is closed");
  state_->check_complete();
  for (OutputFile& shard : state_->shards) {
    shard.sync();
    shard.close();
  }
  state_->put_index();
  state_->output.publish();
  state_->committed = true;
}

std::vector<WrittenFile> CheckpointWriter::files() const {
  std::vector<WrittenFile> files;
  for (const PlannedShard& shard : state_->plan) {
    files.push_back({.name = shard.name, .size_bytes = shard.layout.size_bytes});
  }
  for (const auto& [name, size_bytes] : state_->other_files) {
    files.push_back({.name = name, .size_bytes = size_bytes});
  }
  return files;
}

const fs::path& CheckpointWriter::folder() const { return state_->folder; }

fs::path CheckpointWriter::partial_folder() const { return state_->output.partial(); }

}  // namespace prune::checkpoint
