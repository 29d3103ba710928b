#pragma once

#include <prune/models/kept_units.h>
#include <prune/models/model_shape.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace prune::models {

/// float32 on the CPU, the checkpoint's dtype on CUDA.
inline at::ScalarType default_dtype(at::Device device, at::ScalarType stored) {
  return device.is_cuda() ? stored : at::kFloat;
}

struct ModelOptions {
  at::Device device = at::kCPU;
  /// Computing dtype; default_dtype() if empty.
  std::optional<at::ScalarType> dtype;
  /// How linear layers lie in memory. Packed ones (kernels/packed_weight.h) need float32 or bfloat16 on a CPU and 16 bits
  /// on a GPU; with another dtype they are dense. kPackedIfStoredSo is dense on a GPU.
  enum class Linears { kDense, kPacked, kPackedIfStoredSo } linears = Linears::kDense;
  /// 8: the head's matrix is rounded to 8 bits in groups of columns when it is packed; 16: as it is stored.
  int64_t head_bits = 16;
  KeptUnits kept = {};
};

/// A checkpoint, loaded block by block; only the requested blocks are in memory.
class Model {
 public:
  /// Reads config.json and the weight files' headers, applies the family's name rule and checks
  /// that every tensor of every block exists with the right shape. A missing head is no error here: pruning
  /// needs none.
  /// @throws Error(input) naming file, tensor and shapes.
  static Model open(const std::filesystem::path& folder, const ModelOptions& options);
  /// The same with what config.json says.
  static Model open(const std::filesystem::path& folder, ModelShape shape,
                    const ModelOptions& options);

  const ModelShape& shape() const { return shape_; }
  const ModelConfig& config() const { return shape_.config; }
  const checkpoint::Checkpoint& checkpoint() const { return *checkpoint_; }
  /// How the checkpoint stores its weights, if they are quantized. They are loaded, and written, dequantized.
  const std::optional<checkpoint::WeightFormat>& weight_format() const {
    return shape_.weight_format;
  }
  /// dtype of the first block's first linear weight, once it is dequantized.
  at::ScalarType stored_dtype() const { return stored_dtype_; }
  /// The same of any layer: files may mix dtypes.
  at::ScalarType stored_dtype(const std::string& layer) const {
    return checkpoint_->info(stored(layer).name).dtype;
  }
  /// Where a layer's weight is stored.
  const checkpoint::TensorRef& stored(const std::string& layer) const { return stored_.at(layer); }
  /// The weight [rows, cols] in the stored dtype, a view of the file where that is possible.
  Tensor stored_weight(const std::string& layer) const { return checkpoint_->load(stored(layer)); }
  /// True if config.json ties the head to the embedding but the file stores both, with different values.
  bool unties_head() const { return unties_head_; }
  /// False for a base model or a classifier, whose files have no lm_head.
  bool has_head() const { return has_head_; }
  /// @throws Error(input) without a head
  void check_head() const;
  /// @throws Error(input) if the largest id that a tokenizer gave has no row in the embedding
  void check_vocabulary(int64_t largest_id) const;
  at::Device device() const { return loader_.device(); }
  at::ScalarType dtype() const { return loader_.dtype(); }

  const std::vector<LinearSpec>& linears(int64_t block) const { return shape_.linears(block); }
  std::string block_prefix(int64_t block) const { return shape_.block_prefix(block); }
  /// Reads all tensors that the model computes with. @throws Error(input) naming file, tensor and index of a NaN or infinity
  void check_values() const;
  std::unique_ptr<Block> load_block(int64_t block,
                                    ExpertWeights experts = ExpertWeights::kResident) const;
  /// |g|² of the norm that the layer's output passes before it is added to the stream (Gemma 2 and 3, OLMo 2), g what
  /// the norm multiplies by: the energy of a normed token. 0 if there is no such norm.
  double energy_after_norm(int64_t block, const LinearSpec& layer) const;
  /// One layer's weight, [rows, cols] on the device in any dtype.
  Tensor load_weight(int64_t block, const LinearSpec& layer, at::ScalarType dtype) const;
  /// Starts reading a block's pages before they are needed; drop_block() releases them.
  void prefetch_block(int64_t block) const;
  void drop_block(int64_t block) const;
  std::unique_ptr<Embedding> load_embedding() const;
  /// @throws Error(input) as check_head()
  std::unique_ptr<Head> load_head() const;
  /// Releases the pages of all tensors outside the blocks.
  void drop_ends() const;

 private:
  Model(std::unique_ptr<checkpoint::Checkpoint> checkpoint, ModelShape shape,
        const ModelOptions& options);
  void list_tensors(const std::set<std::string>& used);

  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  ModelShape shape_;
  std::map<std::string, checkpoint::TensorRef> stored_;  // by layer
  at::ScalarType stored_dtype_;
  bool unties_head_ = false;
  bool has_head_ = true;
  WeightLoader loader_;
  std::vector<std::string> used_tensors_;                // names that blocks and ends load
  std::vector<std::vector<std::string>> block_tensors_;  // names by block
  std::vector<std::string> end_tensors_;                 // names outside the blocks
};

}  // namespace prune::models
