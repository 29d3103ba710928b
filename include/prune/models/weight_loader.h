#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/models/block.h>
#include <prune/models/decoder_spec.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prune::models {

/// float16, bfloat16, float32 or float64: what weights may be stored as.
bool is_plain_float(at::ScalarType dtype);

/// @throws Error(input) naming tensor and index of a NaN or infinity
void check_finite(const Tensor& value, const std::string& name);

/// Loads weights from the checkpoint to the device in the computing dtype.
class WeightLoader {
 public:
  WeightLoader(const checkpoint::Checkpoint& source, at::Device device, at::ScalarType dtype)
      : WeightLoader(&source, device, dtype) {}

  /// A loader that reads no data: load() only checks that the tensor exists with this shape. Blocks and ends made
  /// with it find missing tensors before hours of work.
  static WeightLoader checking(const checkpoint::Checkpoint& source);
  /// A loader without a checkpoint: load() only notes the tensor's name and shape. Blocks and ends made with it list
  /// a model's tensors from config.json alone.
  static WeightLoader listing();
  /// A loader of random weights: the first load() of a name draws a tensor in `stored`, later ones load the same
  /// one. `prune plan` measures a model's own blocks with it where no weights need be read.
  static WeightLoader random(at::ScalarType stored, at::Device device, at::ScalarType dtype);
  /// A loader that keeps matrices packed if they are stored in 16 bits or quantized, and on a GPU if that is smaller.
  /// @param dtype float32 or bfloat16 on the CPU, of 16 bits on a GPU
  /// @param bits_of_ends 8: those of load_matrix() are rounded to 8 bits
  static WeightLoader packing(const checkpoint::Checkpoint& source, at::Device device,
                              at::ScalarType dtype, int64_t bits_of_ends);

  /// @throws Error(input) if the tensor is missing, has another shape, is not float16, bfloat16,
  ///         float32 or float64, or holds a NaN or infinity.
  Tensor load(const std::string& name, at::IntArrayRef shape) const;
  /// A lookup table in its stored dtype on the CPU, usually still in the file: looked_up() converts
  /// only the rows it returns. @throws as load()
  Tensor load_table(const std::string& name, at::IntArrayRef shape) const;
  /// Rows of a table, on the device in the computing dtype. @param ids any shape, int64, CPU
  Tensor looked_up(const Tensor& table, const Tensor& ids) const;
  /// The linear layer `prefix + spec.name` with its bias, as [rows, cols] however it is stored.
  Linear load_linear(const std::string& prefix, const LinearSpec& spec) const;
  /// A matrix outside the blocks with its bias, if it has one.
  /// @param bias its name or empty
  Linear load_matrix(const std::string& name, at::IntArrayRef shape,
                     const std::string& bias = "") const;

  /// Releases the pages of a tensor. A checking or listing loader has none.
  void drop(const std::string& name) const;

  /// Names and shapes of all tensors requested so far; checking and listing loaders only.
  const std::map<std::string, std::vector<int64_t>>& asked() const { return *asked_; }

  at::Device device() const { return device_; }
  at::ScalarType dtype() const { return dtype_; }

 private:
  WeightLoader(const checkpoint::Checkpoint* source, at::Device device, at::ScalarType dtype)
      : source_(source), device_(device), dtype_(dtype) {}

  // Loads the weight of a linear layer, dense or packed. @param stored_shape of the tensor that it is a part of
  void load_weight_(Linear& linear, const checkpoint::TensorRef& stored,
                    at::IntArrayRef stored_shape, int64_t bits = 16) const;
  // As load(), of a part of a tensor.
  Tensor load_part(const checkpoint::TensorRef& part, at::IntArrayRef stored_shape) const;
  // As load_table(), of a part of a tensor, but does not check the values.
  Tensor load_stored(const checkpoint::TensorRef& part, at::IntArrayRef stored_shape) const;

  const checkpoint::Checkpoint* source_;  // null: a listing or random loader
  at::Device device_;
  at::ScalarType dtype_;
  std::shared_ptr<std::map<std::string, std::vector<int64_t>>>
      asked_;  // checking and listing loaders only
  struct RandomWeights {
    at::ScalarType stored;
    std::map<std::string, Tensor> drawn = {};
  };
  std::shared_ptr<RandomWeights> random_;
  bool packs_ = false;
  int64_t bits_of_ends_ = 16;
};

}  // namespace prune::models
