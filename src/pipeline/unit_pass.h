#pragma once

#include <prune/core/tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "run.h"

namespace prune::pipeline {

/// How many units stay in every block that has some; 0: all of them.
struct UnitCounts {
  int64_t channels = 0;
  int64_t key_heads = 0;
  bool all() const { return channels == 0 && key_heads == 0; }
};

/// What stays of one block, and the layers that make up for the rest.
struct UnitsOfBlock {
  std::vector<int64_t> channels = {};   ///< empty: all
  std::vector<int64_t> key_heads = {};  ///< empty: all
  double channels_error = 0.0;          ///< share of the output's energy that is lost
  double key_heads_error = 0.0;
  /// New weights of the layers that read these units, by the name of the tensor and as it is stored, without the
  /// removed columns.
  std::vector<std::pair<std::string, Tensor>> weights = {};
};

/// What is known of each block, in files of a folder.
class UnitFiles {
 public:
  explicit UnitFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path of(int64_t block) const;
  void write(int64_t block, const UnitsOfBlock& units) const;
  /// @throws Error(input) naming the file if it does not hold as many units of this block
  UnitsOfBlock read(int64_t block, const models::BlockSpec& spec, const UnitCounts& counts) const;

 private:
  std::filesystem::path folder_;
};

/// Goes through the model and chooses key heads and channels of each block on Hessians of the activations that the
/// blocks before it produce without theirs (solver::keep_columns).
/// @param finished  blocks of an earlier process whose files are there
/// @param record  is called after each further block, once its file is durable
void choose_units(const journal::RunInputs& inputs, const PruneOptions& options,
                  const UnitCounts& counts, const UnitFiles& files, int64_t finished,
                  const std::function<void(const UnitsOfBlock&)>& record, dist::Communicator& comm,
                  Progress& progress);

}  // namespace prune::pipeline
