#pragma once

#include <prune/calibration/text_source.h>

#include <filesystem>
#include <string>

namespace prune::cli {

/// What a text is for; a data set has one part for each use.
enum class DataUse { kCalibration, kEvaluation };

/// True for a data set of configs/datasets.json.
bool is_data_set(const std::string& name);

/// The path that a text's name means; "-" is standard input.
std::filesystem::path path_of_text(const std::string& name);

/// The text that --calibration, --eval or --data names: a file, "-", or a data set of configs/datasets.json,
/// which is looked up in the hub cache. With `may_download`, a data set's file that the cache lacks is
/// fetched.
/// @throws Error(input) for a data set that is not in the cache, with the command that fetches it, and for
///         a name that is neither a file nor a data set, with the nearest known one.
calibration::TextFile find_data(const std::string& data, DataUse use, bool may_download);

}  // namespace prune::cli
