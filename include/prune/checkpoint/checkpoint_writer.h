#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

struct WriterOptions {
  /// Replace an existing output folder at the final rename; off, so that no result is lost by a typo.
  /// Only an empty folder or one that looks like a checkpoint is replaced.
  bool overwrite = false;
};

/// What was written: file names relative to the output folder, with their sizes.
struct WrittenFile {
  std::string name;
  int64_t size_bytes = 0;
};

/// Writes a checkpoint like `source` with some tensors replaced (DESIGN §5): same canonical names,
/// shapes and dtypes, one safetensors shard for each weight file of the source, config and tokenizer
/// files copied. Everything lives in `DIR.partial/` until commit() renames it; the destructor of a
/// writer that was not committed removes it. `source` must outlive the writer and keep its names.
class CheckpointWriter {
 public:
  /// Lays out all shards at their final size (space is reserved, so a full disk shows here).
  /// @throws Error(output): the folder exists and !overwrite, its parent is not writable, the disk is
  ///         full (with the bytes needed and the bytes free), or another run owns DIR.partial.
  CheckpointWriter(const Checkpoint& source, std::filesystem::path folder,
                   WriterOptions options = {});
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  ~CheckpointWriter();

  /// Writes one tensor in place; shape must be the source's, dtype is cast to it by the caller. Any
  /// device and strides. Several threads may write different tensors.
  /// @throws Error(output) on any write failure; Error(internal) on an unknown name, shape or dtype.
  void write(const std::string& name, const Tensor& value);

  /// Copies every tensor not written so far from the source, then the side files (FORMATS §5.5) that
  /// write_text() has not put there, and the index. Now partial_folder() is a checkpoint that can be
  /// opened, for an evaluation of what was written.
  void copy_rest();

  /// Puts a small file (the report) beside the shards, or replaces one put there before.
  void write_text(const std::string& file_name, const std::string& content);

  /// Syncs everything and renames DIR.partial to DIR. Afterwards the writer is closed.
  /// @throws Error(internal) when a tensor has not been written.
  void commit();

  /// Shards in order, then the other files by name.
  std::vector<WrittenFile> files() const;
  /// The output folder, absolute, links resolved.
  const std::filesystem::path& folder() const;
  std::filesystem::path partial_folder() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prune::checkpoint
