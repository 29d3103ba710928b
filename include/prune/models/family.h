#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/models/block.h>
#include <prune/models/model_config.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::models {

/// A linear layer as the configuration determines it, before any weight is read.
struct LinearSpec {
  std::string name;  ///< within the block, e.g. "self_attn.q_proj"
  int64_t rows = 0;
  int64_t cols = 0;
  bool bias = false;
  int64_t site = 0;            ///< number of the site it reads within the block
  bool writes_stream = false;  ///< its output is added to the residual stream
};

/// Brings weights from the checkpoint to the device in the computing dtype.
class WeightLoader {
 public:
  WeightLoader(const checkpoint::Checkpoint& source, at::Device device, at::ScalarType dtype)
      : WeightLoader(&source, device, dtype) {}

  /// A loader that reads no data: load() only checks that the tensor is there with this shape. With it
  /// a family's make_block says which tensors a block needs, before hours of work.
  static WeightLoader checking(const checkpoint::Checkpoint& source);
  /// A loader with no checkpoint behind it: load() only notes the tensor's name and shape. With it
  /// make_block, make_embedding and make_head say what a model consists of where there is nothing but a
  /// config.json.
  static WeightLoader listing();
  /// A loader of random weights: the first load() of a name draws a tensor in `stored`, later ones load the same
  /// one. `prune plan` measures a model's own blocks with it where no weights need be read.
  static WeightLoader random(at::ScalarType stored, at::Device device, at::ScalarType dtype);

  /// @throws Error(input) when the tensor is missing, has another shape, is no plain floating-point
  ///         weight (float8, int8) or holds a NaN or infinity.
  Tensor load(const std::string& name, at::IntArrayRef shape) const;
  /// A lookup table as it is stored, on the CPU and usually still in the file: looked_up() converts the
  /// rows that are asked for. @throws as load()
  Tensor load_table(const std::string& name, at::IntArrayRef shape) const;
  /// Rows of a table on the device, in the computing dtype. @param ids any shape, int64, CPU
  Tensor looked_up(const Tensor& table, const Tensor& ids) const;
  /// The linear layer `prefix + spec.name` with its bias.
  Linear load_linear(const std::string& prefix, const LinearSpec& spec) const;

  /// Names and shapes that a checking or listing loader was asked for so far.
  const std::map<std::string, std::vector<int64_t>>& asked() const { return *asked_; }

  at::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }

 private:
  WeightLoader(const checkpoint::Checkpoint* source, at::Device device, at::ScalarType dtype)
      : source_(source), device_(device), dtype_(dtype) {}

  // As load_table(), its values unchecked.
  Tensor load_stored(const std::string& name, at::IntArrayRef shape) const;

  const checkpoint::Checkpoint* source_;  // null: a listing or random loader
  at::Device device_;
  at::ScalarType dtype_;
  std::shared_ptr<std::map<std::string, std::vector<int64_t>>> asked_;  // checking, listing
  struct RandomWeights {
    at::ScalarType stored;
    std::map<std::string, Tensor> drawn = {};
  };
  std::shared_ptr<RandomWeights> random_;
};

/// What lies before the first block.
class Embedding {
 public:
  virtual ~Embedding() = default;
  /// @param ids [samples, seqlen] int64 @return [samples, seqlen, hidden_size] in the computing dtype
  virtual Tensor embed(const Tensor& ids) const = 0;
};

/// What lies after the last block.
class Head {
 public:
  virtual ~Head() = default;
  /// @param hidden [..., hidden_size] @return logits [..., vocab_size] in the computing dtype
  virtual Tensor logits(const Tensor& hidden) const = 0;
};

/// A family is a table: everything that is particular to one model_type.
struct FamilySpec {
  std::string model_type;
  /// Fills the common fields and rejects what is not supported, by name. @throws Error(input)
  ModelConfig (*read_config)(const nlohmann::json& raw);
  checkpoint::NameRule (*names)(const ModelConfig& config);
  /// The block's linear layers, all of them prunable.
  std::vector<LinearSpec> (*linears)(const ModelConfig& config);
  std::string block_prefix;  ///< "model.decoder.layers.{}."
  /// `block` is the block's number and `prefix` is block_prefix with it.
  std::unique_ptr<Block> (*make_block)(const ModelConfig& config, const WeightLoader& loader,
                                       int64_t block, const std::string& prefix);
  std::unique_ptr<Embedding> (*make_embedding)(const ModelConfig& config,
                                               const WeightLoader& loader);
  std::unique_ptr<Head> (*make_head)(const ModelConfig& config, const WeightLoader& loader);
};

/// The families we know. @throws Error(input) for another model_type, with the list of known ones.
const FamilySpec& find_family(const std::string& model_type);
std::vector<std::string> known_families();

}  // namespace prune::models
