#pragma once

#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/pipeline/prune_run.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "prune_layer.h"

namespace prune::pipeline {

/// The form in which a run writes the weights that it pruned: dense ones, or pack-quantized.
class WeightForm {
 public:
  WeightForm(const models::Model& model, const PruneOptions& options);

  /// What takes the place of the chosen layers' weights in the output; empty for dense ones.
  std::map<std::string, std::vector<checkpoint::TensorInfo>> replaced(
      const std::set<std::string>& chosen) const;

  /// Writes a pruned layer. @return the SHA-256 of all bytes written
  std::string write(checkpoint::CheckpointWriter& writer, const std::string& layer,
                    const PrunedLayer& pruned) const;

  struct Written {
    Tensor weight;  ///< [rows, cols] in the stored dtype: what a reader of the output will see
    std::string sha256;
  };
  /// What lies in the output as this layer, and the SHA-256 of its bytes.
  Written read(const checkpoint::CheckpointWriter& writer, const std::string& layer) const;
  /// Counts a layer that a resumed process wrote as written.
  void keep(checkpoint::CheckpointWriter& writer, const std::string& layer) const;

  /// config.json of the output, with its quantization_config; empty: as the source's.
  std::string config(const std::set<std::string>& chosen) const;

 private:
  std::vector<std::string> parts(const std::string& layer) const;

  const models::Model* model_;
  Quantization quantization_;
  bool packed_;
};

}  // namespace prune::pipeline
