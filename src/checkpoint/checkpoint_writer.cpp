#include <fmt/format.h>
#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/checkpoint/output_folder.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <prune/core/mapped_file.h>
#include <prune/core/printable.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "output_file.h"
#include "shard_layout.h"
#include "side_files.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

Error defect(const std::string& message) { return {ErrorKind::kInternal, message}; }

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// True if removing `outer` would also remove `inner`.
bool contains_path(const fs::path& outer, const fs::path& inner) {
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

/// Overwriting the source would destroy the dense model.
void check_apart_from_source(const fs::path& source, const fs::path& folder) {
  if (contains_path(folder, resolve_output(source))) {
    throw Error(ErrorKind::kOutput,
                fmt::format("{}: the output folder is or contains the source '{}'", folder.string(),
                            source.string()));
  }
}

}  // namespace

struct CheckpointWriter::State {
  struct Slot {
    size_t shard;
    TensorInfo info;
    int64_t offset;
  };

  State(const Checkpoint& checkpoint, const fs::path& target, const WriterOptions& options)
      : source(checkpoint),
        folder(target),
        output(target, options.overwrite, options.resume),
        replaced(options.replaced),
        extension(options.extension),
        index_name("model" + extension + ".index.json") {}

  void make_slots();
  bool is_laid_out(const PlannedShard& shard) const;
  void check_space() const;
  void list_side_files();
  void lay_out_shards();
  const Slot& slot(const std::string& name) const;
  static Slot slot_of_matrix(Slot slot, int64_t index);
  Tensor read(const Slot& slot) const;
  void write(const Slot& slot, const Tensor& value);
  void mark(const Slot& slot, const TensorRef& part);
  void check_complete();
  void put_file(const std::string& name, const std::string& content);
  void copy_file(const std::string& name);
  void put_index();

  const Checkpoint& source;
  const fs::path folder;
  // Declared before `shards`, so that they are closed before its destructor removes an uncommitted folder.
  OutputFolder output;
  const std::map<std::string, std::vector<TensorInfo>> replaced;
  const std::string extension;
  const std::string index_name;
  std::vector<PlannedShard> plan;
  std::vector<OutputFile> shards;
  std::map<std::string, Slot> slots;
  std::vector<std::string> copied;  // side files, relative to the source's folder
  int64_t copied_bytes = 0;
  std::map<std::string, int64_t> other_files;
  bool committed = false;

  std::mutex mutex;
  std::set<std::string> written;
  std::map<std::string, std::vector<TensorRef>> parts;  // written, of tensors that are not complete
  std::set<size_t> unsynced;                            // shards written since the last sync
};

void CheckpointWriter::State::make_slots() {
  plan = plan_shards(source, replaced, extension);
  for (size_t i = 0; i < plan.size(); ++i) {
    for (const PlacedTensor& tensor : plan[i].layout.tensors) {
      slots.emplace(tensor.info.name,
                    Slot{.shard = i, .info = tensor.info, .offset = tensor.offset});
    }
  }
}

/// True if the resumed process left this shard.
bool CheckpointWriter::State::is_laid_out(const PlannedShard& shard) const {
  const fs::path path = output.partial() / shard.name;
  std::error_code failure;
  if (!fs::is_regular_file(fs::symlink_status(path, failure))) return false;
  const OutputFile file = OutputFile::reopen(path);
  std::string header(shard.layout.header.size(), '\0');
  if (file.size_bytes() != shard.layout.size_bytes) return false;
  file.read_at(0, std::as_writable_bytes(std::span(header)));
  return header == shard.layout.header;
}

void CheckpointWriter::State::check_space() const {
  int64_t needed = copied_bytes;
  for (const PlannedShard& shard : plan) {
    if (!is_laid_out(shard)) needed += shard.layout.size_bytes;
  }
  const int64_t available = free_bytes(output.partial());
  if (available < 0 || needed <= available) return;
  throw Error(
      ErrorKind::kOutput,
      fmt::format("{}: not enough space: {} bytes needed ({}), {} free ({})", folder.string(),
                  needed, human_bytes(needed), available, human_bytes(available)));
}

/// Side files are copied last; an unreadable one must be an error now, not after hours of work.
void CheckpointWriter::State::list_side_files() {
  const SideFiles files = find_side_files(source.folder(), source.files());
  copied = files.copied;
  for (const std::string& name : copied) {
    copied_bytes += static_cast<int64_t>(MappedFile::open(source.folder() / name)->bytes().size());
  }
  if (files.left_behind.empty()) return;
  spdlog::info("{}: not copied: {}", source.folder().string(),
               printable(fmt::format("{}", fmt::join(files.left_behind, ", "))));
}

void CheckpointWriter::State::lay_out_shards() {
  for (const PlannedShard& shard : plan) {
    const fs::path path = output.partial() / shard.name;
    if (is_laid_out(shard)) {
      shards.push_back(OutputFile::reopen(path));
      continue;
    }
    OutputFile& file = shards.emplace_back(path);
    file.reserve(shard.layout.size_bytes);
    file.write_at(0, bytes_of(shard.layout.header));
    unsynced.insert(shards.size() - 1);
  }
  kill_point("after the layout");
}

const CheckpointWriter::State::Slot& CheckpointWriter::State::slot(const std::string& name) const {
  if (committed || output.finished()) throw defect("the writer is closed");
  const auto found = slots.find(name);
  if (found == slots.end()) {
    throw defect(fmt::format("tensor '{}' is not in the output", printable(name)));
  }
  return found->second;
}

// Where one matrix of a stack lies.
CheckpointWriter::State::Slot CheckpointWriter::State::slot_of_matrix(Slot slot, int64_t index) {
  if (index < 0) return slot;
  slot.info.size_bytes /= slot.info.shape.front();
  slot.info.shape.erase(slot.info.shape.begin());
  slot.offset += index * slot.info.size_bytes;
  return slot;
}

Tensor CheckpointWriter::State::read(const Slot& slot) const {
  Tensor value = at::empty(slot.info.shape, slot.info.dtype);
  shards[slot.shard].read_at(slot.offset,
                             {static_cast<std::byte*>(value.mutable_data_ptr()), value.nbytes()});
  return value;
}

void CheckpointWriter::State::write(const Slot& slot, const Tensor& value) {
  kill_point("before a tensor is written");
  shards[slot.shard].write_at(
      slot.offset, {static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  kill_point("after a tensor was written");
  const std::scoped_lock lock(mutex);
  unsynced.insert(slot.shard);
}

// The tensor is written once its parts fill it.
void CheckpointWriter::State::mark(const Slot& slot, const TensorRef& part) {
  const std::scoped_lock lock(mutex);
  if (written.contains(part.name)) return;
  std::vector<TensorRef>& of_tensor = parts[part.name];
  if (std::ranges::find(of_tensor, part) == of_tensor.end()) of_tensor.push_back(part);
  const Tensor whole = at::empty(slot.info.shape, at::kMeta);
  int64_t filled = 0;
  for (const TensorRef& one : of_tensor) filled += one.in(whole).numel();
  if (filled < whole.numel()) return;
  written.insert(part.name);
  parts.erase(part.name);
}

void CheckpointWriter::State::check_complete() {
  const std::scoped_lock lock(mutex);
  for (const auto& [name, slot] : slots) {
    if (written.count(name) != 0) continue;
    throw defect(fmt::format("{} of {} tensors were not written, including '{}'",
                             slots.size() - written.size(), slots.size(), printable(name)));
  }
}

void CheckpointWriter::State::put_file(const std::string& name, const std::string& content) {
  replace_file(output.partial() / name, bytes_of(content));
  other_files[name] = static_cast<int64_t>(content.size());
}

void CheckpointWriter::State::copy_file(const std::string& name) {
  const auto file = MappedFile::open(source.folder() / name);
  make_folders((output.partial() / name).parent_path());
  replace_file(output.partial() / name, file->bytes());
  other_files[name] = static_cast<int64_t>(file->bytes().size());
}

/// Called after all tensors are written, so that a folder with an index has all its weights.
void CheckpointWriter::State::put_index() {
  const bool wanted = plan.size() > 1 && other_files.count(index_name) == 0;
  if (wanted) put_file(index_name, index_text(plan));
}

CheckpointWriter::CheckpointWriter(const Checkpoint& source, fs::path folder,
                                   WriterOptions options) {
  const fs::path target = resolve_output(folder);
  check_apart_from_source(source.folder(), target);
  state_ = std::make_unique<State>(source, target, options);
  if (state_->output.finished()) return;
  if (!state_->output.recorded().empty()) {
    try {
      options.check_recorded(state_->output.recorded());
    } catch (Error& error) {
      error.in((state_->output.partial() / kStateName).string());
      throw;
    }
  }
  state_->make_slots();
  state_->list_side_files();
  state_->check_space();
  state_->lay_out_shards();
}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::write(const std::string& name, const Tensor& value) {
  const State::Slot& slot = state_->slot(name);
  if (value.scalar_type() != slot.info.dtype || value.sizes() != at::IntArrayRef(slot.info.shape)) {
    throw defect(fmt::format("tensor '{}': {} {} written, expected {} {}", printable(name),
                             dtype_name(value.scalar_type()), shape_string(value.sizes()),
                             dtype_name(slot.info.dtype), shape_string(slot.info.shape)));
  }
  state_->write(slot, value.detach().to(at::kCPU).contiguous());
  const std::scoped_lock lock(state_->mutex);
  state_->written.insert(name);
}

void CheckpointWriter::write(const TensorRef& part, const Tensor& value) {
  if (part.is_whole()) return write(part.name, value);
  const State::Slot& slot = state_->slot(part.name);
  const State::Slot matrix = State::slot_of_matrix(slot, part.index);
  // Other parts of the matrix keep their bytes, even if the process is killed in the middle.
  const Tensor around = state_->read(matrix);
  TensorRef within = part;
  within.index = -1;
  const Tensor place = within.in(around);
  if (value.scalar_type() != place.scalar_type() || value.sizes() != place.sizes()) {
    throw defect(fmt::format("a part of tensor '{}': {} {} written, expected {} {}",
                             printable(part.name), dtype_name(value.scalar_type()),
                             shape_string(value.sizes()), dtype_name(place.scalar_type()),
                             shape_string(place.sizes())));
  }
  place.copy_(value);
  state_->write(matrix, around);
  state_->mark(slot, part);
}

bool CheckpointWriter::finished() const { return state_->output.finished(); }

void CheckpointWriter::sync() {
  const std::scoped_lock lock(state_->mutex);
  for (const size_t shard : state_->unsynced) state_->shards[shard].sync();
  state_->unsynced.clear();
}

void CheckpointWriter::record(const std::string& state) {
  sync();
  kill_point("before a record");
  state_->output.record(state);
  kill_point("after a record");
}

Tensor CheckpointWriter::read(const std::string& name) const {
  return state_->read(state_->slot(name));
}

Tensor CheckpointWriter::read(const TensorRef& part) const {
  TensorRef within = part;
  within.index = -1;
  return within.in(state_->read(State::slot_of_matrix(state_->slot(part.name), part.index)));
}

void CheckpointWriter::keep(const std::string& name) {
  const State::Slot& slot = state_->slot(name);
  const std::scoped_lock lock(state_->mutex);
  state_->written.insert(slot.info.name);
}

void CheckpointWriter::keep(const TensorRef& part) { state_->mark(state_->slot(part.name), part); }

void CheckpointWriter::copy_rest() {
  for (const std::string& name : state_->source.names()) {
    if (state_->written.count(name) != 0 || state_->replaced.count(name) != 0) continue;
    std::vector<TensorRef> written;
    if (const auto found = state_->parts.find(name); found != state_->parts.end()) {
      written = found->second;
    }
    for (const TensorRef& piece : state_->source.pieces(name)) {
      Tensor value = state_->source.load(piece);
      if (!written.empty()) value = value.clone();
      for (const TensorRef& part : written) {
        TensorRef within = part;
        if (piece.index >= 0) {
          if (part.index != piece.index) continue;
          within.index = -1;
        }
        within.in(value).copy_(read(part));
      }
      write(piece, value);
    }
    // Pages read from the mapping count as resident memory until dropped.
    state_->source.drop(name);
  }
  for (const std::string& name : state_->copied) {
    if (state_->other_files.count(name) != 0) continue;
    state_->copy_file(name);
  }
  state_->put_index();
}

void CheckpointWriter::write_text(const std::string& file_name, const std::string& content) {
  if (state_->committed) throw defect("the writer is closed");
  const bool plain =
      !file_name.empty() && !file_name.starts_with('.') && file_name.find('/') == std::string::npos;
  const bool taken =
      file_name == state_->index_name ||
      std::ranges::find(state_->plan, file_name, &PlannedShard::name) != state_->plan.end();
  if (!plain || taken) {
    throw defect(
        fmt::format("'{}' is not a valid name for a file beside the shards", printable(file_name)));
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
  std::set<std::string> names;  // of files and folders in DIR.partial
  for (const WrittenFile& file : files()) names.insert(file.name.substr(0, file.name.find('/')));
  state_->output.publish(names);
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
