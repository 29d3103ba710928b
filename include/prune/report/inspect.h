#pragma once

#include <prune/models/model.h>
#include <prune/report/run_report.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::report {

struct LayerInspection {
  std::string name;
  std::vector<int64_t> shape = {};  ///< [rows, cols]
  std::string dtype = {};  ///< of the stored tensor; "int4", "fp8" and the like for quantized ones
  int64_t size_bytes = 0;  ///< in the file
  int64_t zeros = 0;
  std::string pattern = {};             ///< zero_pattern()
  std::vector<int64_t> histogram = {};  ///< weight_histogram()
  double sparsity() const;
};

/// A checkpoint and its linear layers, in model order.
struct Inspection {
  ModelDescription model;
  std::vector<LayerInspection> layers = {};
  int64_t weights() const;
  int64_t zeros() const;
  double sparsity() const;
};

/// Reads every linear weight once, one at a time. @param id as the user named the model
Inspection inspect(const models::Model& model, const std::string& id);

nlohmann::json to_json(const Inspection& inspection);

/// The inspection for people: the checkpoint, its files and one line per layer.
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
