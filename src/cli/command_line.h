#pragma once

#include <prune/pipeline/prune_run.h>

#include <string>

#include "commands.h"
#include "log.h"
#include "model_names.h"
#include "options.h"

namespace prune::cli {

/// Flags that every command has.
struct CommonFlags {
  std::string model;
  std::string device = "auto";
  std::string dtype = "auto";
  int threads = 0;
  bool download = false;
  bool as_json = false;
  std::string color = "auto";
  LogOptions log;
};

// Value types that help shows and that shell completion understands; `a|b|c` is a choice.
inline constexpr const char* kFile = "FILE";
inline constexpr const char* kFolder = "DIR";
inline constexpr const char* kModel = "MODEL";  ///< a short name or a folder
inline constexpr const char* kData = "DATA";    ///< a data set's name or a file
inline constexpr const char* kReports = "REPORT...";

inline constexpr const char* kGeneral = "General";
/// Only --help-all shows the flags of this group.
inline constexpr const char* kMore = "In detail";

/// A parser with the common flags, --config, --help and --version.
AppPointer make_app(const std::string& name, const std::string& description, CommonFlags& flags);

/// Starts the log, sets the number of threads and looks up the model.
pipeline::ModelChoice apply_common(const CommonFlags& flags, ModelParts needed = ModelParts::kAll);

/// Another model for the same device. @param model as the user named it
pipeline::ModelChoice look_up(const std::string& model, const CommonFlags& flags,
                              ModelParts needed = ModelParts::kAll);

/// Adds --head-bits.
void add_head_bits(CLI::App& app, int64_t& head_bits);
/// @throws Error(usage) unless it is 8 or 16
void check_head_bits(int64_t head_bits);

/// The command line, quoted so that a shell reads it back.
std::string command_line(int argc, const char* const* argv);

}  // namespace prune::cli
