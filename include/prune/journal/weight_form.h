#pragma once

#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/quantization.h>
#include <prune/models/model.h>
#include <prune/solver/prune_weight.h>

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

namespace prune::journal {

/// The form in which a run writes the weights that it pruned: dense ones, or pack-quantized.
class WeightForm {
 public:
  /// @param packed quantized weights are written as codes, else dequantized
  WeightForm(const models::Model& model, const Quantization& quantization, bool packed);

  /// The tensors that replace the chosen layers' weights in the output; empty for dense ones.
  std::map<std::string, std::vector<checkpoint::TensorInfo>> replaced(
      const std::set<std::string>& chosen) const;

  /// Writes a pruned layer, whose tensors are on the CPU.
  /// @return the SHA-256 of all bytes written
  std::string write(checkpoint::CheckpointWriter& writer, const std::string& layer,
                    const solver::StoredResult& pruned) const;

  struct Written {
    Tensor weight;  ///< [rows, cols] in the stored dtype, as a reader of the output sees it
    std::string sha256;
  };
  /// The layer as the output holds it, and the SHA-256 of its bytes.
  Written read(const checkpoint::CheckpointWriter& writer, const std::string& layer) const;
  /// Marks a layer that the resumed process wrote as written.
  void keep(checkpoint::CheckpointWriter& writer, const std::string& layer) const;

  /// config.json of the output: with a quantization_config for packed weights, without keys that describe the
  /// source's quantization or a compression that there is not, and untied if the head is. Empty if it equals the
  /// source's.
  std::string config(const std::set<std::string>& chosen) const;

 private:
  nlohmann::json quantization_config(const std::set<std::string>& chosen) const;
  /// The tensors of a packed layer.
  std::vector<std::string> parts(const std::string& layer) const;

  const models::Model* model_;
  Quantization quantization_;
  bool packed_;
};

}  // namespace prune::journal
