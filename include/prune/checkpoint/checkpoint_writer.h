#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

struct WriterOptions {
  /// Replace an existing output folder at the final rename; off, so that no result is lost by a typo.
  /// Only an empty folder or one that looks like a checkpoint is replaced.
  bool overwrite = false;
  /// Go on with what a process that died recorded in DIR.partial.
  bool resume = false;
  /// With `resume`: sees what was recorded before any of it is touched, and throws if it is not of this
  /// run.
  std::function<void(const std::string& state)> check_recorded = {};
  /// Tensors of the source that the output holds in another form: the ones that take their place, in the
  /// same shard.
  std::map<std::string, std::vector<TensorInfo>> replaced = {};
  std::string extension = ".safetensors";  ///< of the shards
};

/// What was written: file names relative to the output folder, with their sizes.
struct WrittenFile {
  std::string name;
  int64_t size_bytes = 0;
};

/// Writes a checkpoint like `source` with some tensors replaced (DESIGN §5): same canonical names,
/// shapes and dtypes (but for WriterOptions::replaced), one safetensors shard for each weight file of the source, config and tokenizer
/// files copied. Everything lives in `DIR.partial/` until commit() renames it. The destructor of a
/// writer that was not committed removes it, unless something was recorded: then it stays, so that a
/// later writer with `resume` can go on. `source` must outlive the writer and keep its names.
class CheckpointWriter {
 public:
  /// Lays out all shards at their final size (space is reserved, so a full disk shows here).
  /// @throws Error(output): the folder exists and !overwrite, its parent is not writable, the disk is
  ///         full (with the bytes needed and the bytes free), another run owns DIR.partial, or
  ///         DIR.partial holds recorded work and neither `resume` nor `overwrite` is given; Error(input): a side file
  ///         cannot be read.
  CheckpointWriter(const Checkpoint& source, std::filesystem::path folder,
                   WriterOptions options = {});
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  ~CheckpointWriter();

  /// Writes one tensor in place; shape and dtype must be the source's or those of WriterOptions::replaced.
  /// Any device and strides. Several threads may write different tensors.
  /// @throws Error(output) on any write failure; Error(internal) on an unknown name, shape or dtype.
  void write(const std::string& name, const Tensor& value);

  /// True when `resume` found nothing to go on with but DIR itself, complete: nothing may be written.
  bool finished() const;

  /// Makes what was written durable. @throws Error(output)
  void sync();

  /// The same, then notes `state`, durably and as a whole. From now on
  /// DIR.partial stays if the run dies.
  void record(const std::string& state);

  /// A tensor as it was written, by this process or by the one that is resumed, in memory of its own.
  Tensor read(const std::string& name) const;
  /// Counts a tensor that the resumed process wrote as written.
  void keep(const std::string& name);

  /// Copies every tensor not written so far from the source, then the side files (FORMATS §5.5) that
  /// write_text() has not put there, and the index. Now partial_folder() is a checkpoint that can be
  /// opened, for an evaluation of what was written.
  void copy_rest();

  /// Puts a small file (the report) beside the shards, or replaces one put there before, durably and
  /// as a whole.
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
