#pragma once

#include <prune/models/model.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::report {

/// What a checkpoint holds: family, files, and for every linear layer shape, dtype, bytes, share of zeros,
/// pattern and histogram. Reads every linear weight once, one at a time.
nlohmann::json inspect(const models::Model& model, const std::string& id);

/// The strictest of 1:2, 2:4, 4:8 that a weight [rows, cols] keeps: at least N zeros in every M consecutive
/// columns of a row. "" if it keeps none.
std::string zero_pattern(const Tensor& weight);

/// Bins of a weight_histogram: |w| in steps of a quarter of the kept weights' root mean square; the last one
/// also takes all that is larger.
inline constexpr int64_t kHistogramBins = 12;

/// How many of a weight's non-zero elements lie in each bin: a pruned layer has a hole at zero.
std::vector<int64_t> weight_histogram(const Tensor& weight);

/// The same as a table, one line a layer.
std::string inspect_table(const nlohmann::json& inspection);

}  // namespace prune::report
