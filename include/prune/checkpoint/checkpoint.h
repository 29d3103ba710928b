#pragma once

#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// One tensor as a file describes it; nothing of its data has been read.
struct TensorInfo {
  std::string name;  ///< canonical once a NameRule was applied, else as stored
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  int64_t size_bytes = 0;  ///< elements times element size
  size_t file = 0;         ///< index into Checkpoint::files()
};

/// How the names in a file become the canonical ones of the causal-LM class (FORMATS §0, §1.3, §2.2).
struct NameRule {
  std::string base_prefix;  ///< "model." or "transformer."; put before a name that lacks it
  std::string head;         ///< "lm_head.weight": never prefixed
  std::string embedding;    ///< canonical name of the input embedding
  bool tied = false;        ///< head and embedding are one tensor, kept under the embedding's name
  /// Names that hold one of these are dropped ("rotary_emb.inv_freq": a buffer of old files).
  std::vector<std::string> ignored;
};

/// A file that holds tensors: safetensors or a zip-format pytorch_model.bin.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  /// The tensor at this position of tensors(), contiguous, on the CPU: a read-only view of the mapping
  /// (writing to it is a fault) where dtype alignment and strides permit, else a copy.
  virtual Tensor load(size_t position) const = 0;
  /// Asks for, or gives back, the pages behind a tensor.
  virtual void prefetch(size_t position) const = 0;
  virtual void drop(size_t position) const = 0;
};

/// Opens a safetensors file and validates its whole header as the Rust reader does (FORMATS §5.1);
/// duplicate names are an error too.
/// @throws Error(input) naming the file and, where there is one, the tensor and the byte.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path);

/// Opens a pytorch_model.bin: zip container, protocol-2 pickle read by a restricted unpickler that
/// knows the state-dict opcodes and a short list of globals and never runs anything (FORMATS §4).
/// @throws Error(input); a global outside the list is named.
std::unique_ptr<TensorFile> open_torch_bin(const std::filesystem::path& path);

/// All tensors of a Hugging Face checkpoint folder, single file or sharded, by name.
class Checkpoint {
 public:
  /// Looks for model.safetensors, its index, pytorch_model.bin, its index, and the packed ones of
  /// packed_checkpoint.h, in this order.
  /// @throws Error(input): none of them there, a shard of the index missing, a tensor of the index
  ///         absent from its shard or found twice, any fault of a file.
  static Checkpoint open(const std::filesystem::path& folder);

  /// Renames every tensor to its canonical name; a tied head is dropped when the embedding is there
  /// and takes the embedding's name when it is not. @throws Error(input) if two names become one.
  void apply(const NameRule& rule);

  /// Shows every pack-quantized weight as the dense one that it stands for (pack_quantized.h): `X.weight`
  /// with the scale's dtype, whose load() dequantizes. Its size_bytes is what the file holds.
  /// @throws Error(input) for a part that is missing or has another shape than the rest.
  void dequantize(const Quantization& how);

  const std::filesystem::path& folder() const { return folder_; }
  /// Weight files sorted by name, which is the order of their numbers, e.g.
  /// "model-00001-of-00002.safetensors"; relative to folder().
  const std::vector<std::string>& files() const { return files_; }
  /// Names in file order and, within a file, in the order of the file's data.
  const std::vector<std::string>& names() const { return names_; }

  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  /// True for a weight that load() dequantizes.
  bool is_quantized(const std::string& name) const { return !entry(name).parts.empty(); }
  /// @throws Error(input) "tensor 'x' is missing" with the nearest name that is there.
  const TensorInfo& info(const std::string& name) const;
  /// @throws Error(input) as info(), and when the shape is not `shape` (if one is given).
  Tensor load(const std::string& name) const;
  Tensor load(const std::string& name, at::IntArrayRef shape) const;
  void prefetch(const std::string& name) const;
  void drop(const std::string& name) const;

 private:
  struct Entry {
    TensorInfo info;
    const TensorFile* file;
    size_t position;
    std::vector<Entry> parts =
        {};  // of a quantized weight: codes, scale and, asymmetric, zero point
  };
  void add_file(size_t file);
  bool has_embedding(const NameRule& rule) const;
  const Entry& entry(const std::string& name) const;
  Entry quantized_entry(const std::string& layer) const;
  Tensor load(const Entry& entry) const;

  std::filesystem::path folder_;
  std::vector<std::string> files_;
  std::vector<std::unique_ptr<TensorFile>> readers_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
  Quantization quantization_;
};

}  // namespace prune::checkpoint
