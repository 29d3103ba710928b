#pragma once

#include <prune/models/model.h>
#include <prune/recovery/kept_layer.h>
#include <prune/stream/batch_store.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace prune::recovery {

/// The dtype that a model is trained in: bfloat16 where products of it are faster than float32's, on a GPU and on
/// processors with such instructions, else float32. The weights themselves are float32.
at::ScalarType training_dtype(at::Device device);

/// A pruned model in training. Between uses a trained layer exists as its kept weights only; a block's weights are
/// expanded while it runs.
class Student {
 public:
  /// @param model  the pruned model in training_dtype()
  /// @param layers those to train; all others keep the model's weights
  /// @param scratch folder of a file, if the states fit nowhere else
  Student(const models::Model& model, const std::set<std::string>& layers,
          const std::filesystem::path& scratch);

  struct TrainedLayer {
    size_t reader = 0;  ///< index into Block::linears()
    std::string name;
    KeptLayer kept;
  };

  int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }
  /// The block with its weights expanded, until the next call.
  models::Block& block(int64_t number);
  /// Trained weights per weight of their layers: 1 if they have no zeros.
  double kept_share() const;
  std::vector<TrainedLayer>& trained(int64_t block) { return trained_[static_cast<size_t>(block)]; }
  const std::vector<TrainedLayer>& trained(int64_t block) const {
    return trained_[static_cast<size_t>(block)];
  }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  /// Forgets what Adam has seen.
  void restart();
  /// Gives up the expanded block, whose layers may have new weights.
  void collapse();

 private:
  at::ScalarType dtype_;
  at::Device device_;
  std::vector<std::unique_ptr<models::Block>> blocks_;
  std::vector<std::vector<TrainedLayer>> trained_;
  std::unique_ptr<stream::BatchStore> states_;
  int64_t expanded_ = -1;
};

}  // namespace prune::recovery
