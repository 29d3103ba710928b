#include "text_flags.h"

#include <fmt/format.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>
#include <prune/dist/environment.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "data_names.h"
#include "one_of.h"

namespace prune::cli {
namespace {

namespace fs = std::filesystem;

struct WeightedName {
  std::string name;
  double weight = 1.0;
};

bool exists(const std::string& name) {
  std::error_code failure;
  return is_data_set(name) || fs::exists(path_of_text(name), failure);
}

WeightedName parse_part(const std::string& part) {
  const size_t colon = part.rfind(':');
  if (colon == std::string::npos || exists(part)) return {part};
  WeightedName parsed{.name = part.substr(0, colon)};
  const std::string weight = part.substr(colon + 1);
  const char* const end = weight.data() + weight.size();
  const auto [after, failure] = std::from_chars(weight.data(), end, parsed.weight);
  if (failure == std::errc() && after == end) return parsed;
  if (!exists(parsed.name)) return {part};
  throw Error(ErrorKind::kUsage, fmt::format("--calibration: the weight '{}' of '{}' is not a "
                                             "number",
                                             weight, parsed.name));
}

std::vector<WeightedName> parse_mixture(const std::string& value) {
  if (exists(value)) return {{value}};
  std::vector<WeightedName> parts;
  std::istringstream stream(value);
  for (std::string part; std::getline(stream, part, ',');) {
    parts.push_back(parse_part(part));
    const std::string& name = parts.back().name;
    if (name.empty()) {
      throw Error(ErrorKind::kUsage, fmt::format("--calibration '{}' names an empty text", value));
    }
    const auto same = [&](const WeightedName& other) { return other.name == name; };
    if (std::ranges::count_if(parts, same) > 1) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("--calibration names '{}' twice; its samples would repeat", name));
    }
  }
  if (parts.empty()) throw Error(ErrorKind::kUsage, "--calibration names no text");
  return parts;
}

// Standard input and pipes can be read once, by one process.
void check_streams(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    const fs::path path = path_of_text(names[i]);
    if (is_data_set(names[i]) || !calibration::is_stream(path)) continue;
    if (dist::read_environment().size > 1) {
      throw Error(
          ErrorKind::kUsage,
          fmt::format("'{}' can be read by one process only; several ranks need a file", names[i]));
    }
    for (size_t other = 0; other < i; ++other) {
      if (!calibration::is_same_file(path, path_of_text(names[other]))) continue;
      throw Error(ErrorKind::kUsage,
                  fmt::format("'{}' is named twice but can be read only once; write it to a file",
                              names[i]));
    }
  }
}

calibration::TextFile find_text(const std::string& name, DataUse use, const TextFlags& flags,
                                bool may_download) {
  calibration::TextFile text = find_data(name, use, may_download);
  if (!text.field && !flags.field.empty()) text.field = flags.field;
  return text;
}

}  // namespace

void add_text_flags(CLI::App& app, TextFlags& flags) {
  add_option(app, "--text-field", flags.field,
             "key of the text in JSON rows, column in .parquet; default: text, else content",
             "NAME");
  add_option(app, "--add-bos", flags.add_bos,
             "start each text with BOS; auto: as the tokenizer does, never twice", "auto|on|off");
  add_option(app, "--chat-template", flags.chat_template,
             "for rows of chats; default: the model's; none: join their texts", "FILE|NAME|none");
}

tokenizer::AddBos add_bos_of(const TextFlags& flags) {
  return one_of<tokenizer::AddBos>("--add-bos", flags.add_bos,
                                   {{"auto", tokenizer::AddBos::kAuto},
                                    {"on", tokenizer::AddBos::kOn},
                                    {"off", tokenizer::AddBos::kOff}});
}

void check_texts(const std::string& calibration, const std::string& evaluation,
                 const TextFlags& flags, int64_t nsamples) {
  std::vector<std::string> names;
  std::vector<calibration::TextFile> files;
  if (!calibration.empty()) {
    for (const WeightedName& part : parse_mixture(calibration)) {
      names.push_back(part.name);
      files.push_back({.name = part.name, .path = {}, .weight = part.weight});
    }
    calibration::sample_shares(files, nsamples);
  }
  if (!evaluation.empty()) names.push_back(evaluation);
  check_streams(names);
  if (!flags.field.empty() && std::ranges::all_of(names, is_data_set)) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--text-field '{}' is for files; the data sets have their own fields",
                            flags.field));
  }
}

std::vector<calibration::TextFile> find_calibration(const std::string& value,
                                                    const TextFlags& flags, bool may_download) {
  std::vector<calibration::TextFile> files;
  for (const WeightedName& part : parse_mixture(value)) {
    files.push_back(find_text(part.name, DataUse::kCalibration, flags, may_download));
    files.back().weight = part.weight;
  }
  return files;
}

calibration::TextFile find_evaluation(const std::string& value, const TextFlags& flags,
                                      bool may_download) {
  return find_text(value, DataUse::kEvaluation, flags, may_download);
}

}  // namespace prune::cli
