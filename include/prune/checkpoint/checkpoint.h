#pragma once

#include <prune/checkpoint/tensor_ref.h>
#include <prune/checkpoint/weight_format.h>
#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Metadata of one stored tensor; its data has not been read.
struct TensorInfo {
  std::string name;  ///< as stored, or canonical after Checkpoint::apply()
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  int64_t size_bytes = 0;  ///< number of elements times element size
  size_t file = 0;         ///< index into Checkpoint::files()
};

/// Maps stored tensor names to the canonical names of the causal-LM class
/// (src/checkpoint/README.md, "Tensor names").
struct NameRule {
  std::string base_prefix;  ///< "model." or "transformer."; prepended to names that lack it
  std::string head;         ///< "lm_head.weight": never prefixed
  std::string embedding;    ///< canonical name of the input embedding
  bool tied = false;  ///< head and embedding are one tensor, stored under the embedding's name
};

/// Reads the tensors of one weight file.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  /// `__metadata__` of a safetensors file; empty for other formats.
  virtual const std::map<std::string, std::string>& metadata() const = 0;
  /// Loads tensors()[position], contiguous, on the CPU: a view of the read-only mapping (a write through
  /// it is a segmentation fault) if the data is contiguous and aligned for the dtype, else a copy.
  virtual Tensor load(size_t position) const = 0;
  /// Asks the kernel to read the tensor's pages ahead.
  virtual void prefetch(size_t position) const = 0;
  /// Lets the tensor's pages leave memory; the next access reads them again.
  virtual void drop(size_t position) const = 0;
};

/// Opens a safetensors file and validates its header as the Rust reader does; duplicate names are an
/// error too (src/checkpoint/README.md, "safetensors").
/// @throws Error(input) with the file and, if known, the tensor and the byte.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

/// Opens a pytorch_model.bin: a zip archive with a pickle. The restricted unpickler knows the opcodes
/// of state dicts and a short list of globals, and never executes code
/// (src/checkpoint/README.md, "pytorch_model.bin").
/// @throws Error(input); the message names a global outside the list.
std::unique_ptr<TensorFile> open_torch_bin(const std::filesystem::path& path);

/// Makes a weight that is stored as several tensors dense.
/// @param parts  those tensors. @param index  of a matrix of a stack; -1: all of the weight
using WeightDecoder = std::function<Tensor(const std::vector<Tensor>& parts, int64_t index)>;

/// The tensors of a Hugging Face checkpoint folder by name, from a single file or from shards.
class Checkpoint {
 public:
  /// Opens the first of these that exists: model.safetensors, its index, pytorch_model.bin, its index,
  /// model.prunepack, its index (packed_checkpoint.h).
  /// Of a tensor that two shards have, the index decides; a tensor that it lists but no shard has is an
  /// error only when it is asked for.
  /// @throws Error(input): none of them exists, a shard in the index is missing, a tensor occurs in two shards
  ///         but not in the index, or a file is malformed.
  static Checkpoint open(const std::filesystem::path& folder);

  /// Renames every tensor to its canonical name. A tied head is dropped if the embedding is stored too,
  /// else it takes the embedding's name. @throws Error(input) if two tensors map to one name.
  void apply(const NameRule& rule);
  /// True if both the head and the embedding are stored, and differ: then they are not tied, whatever
  /// config.json says. To be asked before apply().
  bool stores_own_head(const NameRule& rule) const;
  /// Gives every tensor for which `known` is false the name back under which it is stored.
  void restore_names(const std::function<bool(const std::string&)>& known);

  /// Presents every weight that is stored in `format` as the dense tensor that it stands for, under the name that
  /// this has in a dense checkpoint: bfloat16, for pack-quantized weights the dtype of their scale. load()
  /// dequantizes it (src/checkpoint/README.md, "Quantized weights"). @return number of these weights
  /// @throws Error(input) naming file and tensor if a part is missing or does not match the others.
  int64_t dequantize(const WeightFormat& format);

  /// Gives tensors other names, and forgets those for which `rule` gives none.
  void rename(const std::function<std::optional<std::string>(const std::string&)>& rule);
  /// Presents a tensor as these slices of it. @param dim  counted from 0
  /// @throws Error(input) as info()
  void select(const std::string& name, int64_t dim, std::vector<int64_t> slices);
  /// Presents the tensors of this safetensors file in place of those with the same names.
  /// @throws Error(input) as open_safetensors()
  void replace(const std::filesystem::path& path);

  const std::filesystem::path& folder() const { return folder_; }
  /// Weight files relative to folder(), sorted by name and hence by shard number, e.g.
  /// "model-00001-of-00002.safetensors".
  const std::vector<std::string>& files() const { return files_; }
  /// `__metadata__` of files()[file].
  const std::map<std::string, std::string>& metadata(size_t file) const {
    return readers_.at(file)->metadata();
  }
  /// Tensor names, file by file; within a file by data offset.
  const std::vector<std::string>& names() const { return names_; }

  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  /// True for a weight that load() dequantizes.
  bool is_quantized(const std::string& name) const { return !entry(name).parts.empty(); }
  /// True for one that is stored as integers, which load_quantized() gives.
  bool has_codes(const std::string& name) const {
    return is_quantized(name) && format_.kind == WeightFormat::Kind::kPackQuantized;
  }
  /// What the file holds: the dtype, or for a quantized weight "int4", "fp8", "fp4"; bytes, all parts together.
  std::string stored_form(const std::string& name) const;
  int64_t stored_bytes(const std::string& name) const;
  /// @throws Error(input) "tensor 'x' is missing" with the most similar name in the checkpoint.
  const TensorInfo& info(const std::string& name) const;
  /// @throws Error(input) as info(), or if `shape` is given and differs from the tensor's shape.
  Tensor load(const std::string& name) const;
  Tensor load(const std::string& name, at::IntArrayRef shape) const;
  /// A part of a tensor; of a stack of quantized matrices only the one it lies in is dequantized. @throws as load()
  Tensor load(const TensorRef& part) const;
  /// What to load() to go through a tensor: the matrices of a quantized stack, so that only one is in memory, else the
  /// tensor.
  std::vector<TensorRef> pieces(const std::string& name) const;
  /// Codes, scales and zero points of a weight that has_codes(). @throws as load()
  QuantizedWeight load_quantized(const std::string& name) const;
  void prefetch(const std::string& name) const;
  void drop(const std::string& name) const;

 private:
  struct Entry {
    TensorInfo info;
    std::string stored;  // name in the file
    const TensorFile* file;
    size_t position;
    std::vector<Entry> parts = {};  // of a quantized weight; else empty
    std::string form = {};          // what they hold: "int4", "fp8"
    WeightDecoder decode = {};
    int64_t sliced_dim = 0;
    std::vector<int64_t> slices = {};  // that are presented; empty: all
  };
  void add_file(size_t file, const std::map<std::string, std::string>& weight_map);
  std::optional<std::string> stored_embedding(const NameRule& rule) const;
  const Entry& entry(const std::string& name) const;
  static std::vector<Tensor> load_parts(const Entry& entry);
  static Tensor load(const Entry& entry, int64_t index);
  // As if all slices were presented.
  static Tensor load_stored(const Entry& entry, int64_t index);

  std::filesystem::path folder_;
  std::vector<std::string> files_;
  std::vector<std::unique_ptr<TensorFile>> readers_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string>
      listed_only_;  // name -> what is wrong, for tensors only in the index
  WeightFormat format_;
};

}  // namespace prune::checkpoint
