#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/checkpoint/tensor_ref.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

struct WriterOptions {
  /// Replace an existing output folder at the final rename. Off by default, so that a typo costs no
  /// result. Only a folder that is empty or looks like a checkpoint is replaced.
  bool overwrite = false;
  /// Continue from what a killed process recorded in DIR.partial.
  bool resume = false;
  /// With `resume`: called with the recorded state before anything in DIR.partial changes; throws if the
  /// state belongs to a different run.
  std::function<void(const std::string& state)> check_recorded = {};
  /// Source tensors that the output stores in another form -> the tensors that replace them, in the same
  /// shard.
  std::map<std::string, std::vector<TensorInfo>> replaced = {};
  std::string extension = ".safetensors";  ///< of the shard files
};

/// One output file; its name is relative to the output folder.
struct WrittenFile {
  std::string name;
  int64_t size_bytes = 0;
};

/// Writes a copy of checkpoint `source` in which some tensors have new values: same canonical names,
/// shapes and dtypes (except WriterOptions::replaced), one safetensors shard per weight file of the
/// source, config and tokenizer files copied. All files stay in `DIR.partial/` until commit() renames
/// the folder. Without a commit the destructor removes the folder, unless record() was called: then a
/// later writer with `resume` can continue (src/checkpoint/README.md, "Output folder and resume").
/// `source` must outlive the writer and must not be renamed meanwhile.
class CheckpointWriter {
 public:
  /// Creates all shards at their final size and reserves their disk space, so a disk that is too small
  /// is an error here.
  /// @throws Error(output): the folder exists and !overwrite, its parent is not writable, the disk is
  ///         full (with the bytes needed and the bytes free), another run holds DIR.partial, or
  ///         DIR.partial contains recorded work and neither `resume` nor `overwrite` is set.
  /// @throws Error(input): a side file cannot be read.
  CheckpointWriter(const Checkpoint& source, std::filesystem::path folder,
                   WriterOptions options = {});
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;
  ~CheckpointWriter();

  /// Writes one tensor at its place in the shard. Shape and dtype must match the source's or those in
  /// WriterOptions::replaced; any device and strides. Threads may write different tensors concurrently.
  /// @throws Error(output) if the write fails; Error(internal) on an unknown name, shape or dtype.
  void write(const std::string& name, const Tensor& value);
  /// Writes a part of a tensor; copy_rest() takes the parts that nobody wrote from the source. Threads may not write
  /// parts of one tensor at the same time. @throws as write()
  void write(const TensorRef& part, const Tensor& value);

  /// True if `resume` found DIR already complete; nothing may be written then.
  bool finished() const;

  /// Flushes all written tensors to disk. @throws Error(output)
  void sync();

  /// sync(), then replaces the recorded state by `state`, atomically and durably. From then on
  /// DIR.partial stays if the run dies.
  void record(const std::string& state);

  /// Reads back a written tensor, including one the resumed process wrote, into newly allocated memory.
  Tensor read(const std::string& name) const;
  Tensor read(const TensorRef& part) const;
  /// Marks a tensor or a part that the resumed process wrote as written.
  void keep(const std::string& name);
  void keep(const TensorRef& part);

  /// Copies the tensors not written yet from the source, then the side files that write_text() has not
  /// written (src/checkpoint/README.md, "Side files"), then writes the index. Afterwards partial_folder()
  /// is a complete checkpoint that can be opened, e.g. to evaluate it before commit().
  void copy_rest();

  /// Writes a small file (e.g. the report) beside the shards, atomically and durably; replaces an earlier
  /// one.
  void write_text(const std::string& file_name, const std::string& content);

  /// Flushes everything, renames DIR.partial to DIR and closes the writer.
  /// @throws Error(internal) if a tensor has not been written.
  void commit();

  /// Shards by number, then the other files by name.
  std::vector<WrittenFile> files() const;
  /// Absolute path of the output folder, symbolic links resolved.
  const std::filesystem::path& folder() const;
  std::filesystem::path partial_folder() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prune::checkpoint
