#pragma once

#include <prune/models/model.h>
#include <prune/report/run_report.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::report {

struct LayerInspection {
  std::string name;
  int64_t block = 0;
  std::string part = {};  ///< of the block: "attention", "mixer", "feed-forward", "experts"
  std::vector<int64_t> shape = {};  ///< [rows, cols]
  std::string dtype = {};  ///< of the stored tensor; "int4", "fp8" and the like for quantized ones
  int64_t size_bytes = 0;  ///< in the file
  int64_t zeros = 0;
  std::string pattern = {};             ///< zero_pattern()
  std::vector<int64_t> histogram = {};  ///< weight_histogram()
  double sparsity() const;
};

/// Tensors that are no layers of a block, counted together.
struct TensorTotals {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t size_bytes = 0;  ///< in the file
  // Not of `others`:
  int64_t zeros = 0;
  std::string dtype = {};  ///< as a layer's; "mixed" if they differ
};

/// A checkpoint and its linear layers, in model order.
struct Inspection {
  ModelDescription model;
  std::vector<LayerInspection> layers = {};
  TensorTotals embedding = {};  ///< of tokens and positions
  TensorTotals head = {};       ///< no tensors if it is tied to the embedding, or absent
  bool tied_head = false;
  TensorTotals others = {};  ///< norms, biases, routers, buffers
  int64_t weights() const;
  int64_t zeros() const;
  double sparsity() const;
};

/// Reads every matrix once, one at a time. @param id as the user named the model
Inspection inspect(const models::Model& model, const std::string& id);

nlohmann::json to_json(const Inspection& inspection);

/// The inspection for people: the checkpoint, its files and a tree of their parts. Blocks with the same layers are one
/// node, so that a model of any depth fits on a screen.
std::string inspect_tree(const Inspection& inspection);

/// The same with one line per layer in place of the tree.
std::string inspect_table(const Inspection& inspection);

/// The strictest of 1:2, 2:4 and 4:8 that a weight [rows, cols] satisfies: every M consecutive columns of
/// a row have at least N zeros. Empty if it satisfies none.
std::string zero_pattern(const Tensor& weight);

/// Number of bins of weight_histogram().
inline constexpr int64_t kHistogramBins = 12;

/// Counts a weight's non-zero elements by |w|, in bins a quarter of their root mean square wide; the last
/// bin also takes all larger values. A pruned layer has few elements in the first bins.
std::vector<int64_t> weight_histogram(const Tensor& weight);

}  // namespace prune::report
