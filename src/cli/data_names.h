#pragma once

#include <prune/calibration/text_source.h>

#include <string>

namespace prune::cli {

/// What a text is for: data sets have parts for each.
enum class DataUse { kCalibration, kEvaluation };

/// The text that --calibration, --eval or --data names: a data set of configs/datasets.json, looked up
/// in the hub cache as models are, or a file. With `may_download`, a data set's file that is not in
/// the cache is fetched.
/// @throws Error(input): a data set that is not in the cache, with the command that fetches it; no
///         file and no data set of this name, with the nearest known one.
calibration::TextFile find_data(const std::string& data, DataUse use, bool may_download);

}  // namespace prune::cli
