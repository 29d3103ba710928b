#pragma once

#include <prune/pipeline/prune_run.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "log.h"
#include "model_names.h"

namespace prune::cli {

/// Flags that every command has.
struct CommonFlags {
  std::string model;
  std::string device = "auto";
  std::string dtype = "auto";
  int threads = 0;
  bool download = false;
  bool as_json = false;
  LogOptions log;
};

/// A parser with the common flags, --config, --help and --version.
std::unique_ptr<CLI::App> make_app(const std::string& name, const std::string& description,
                                   CommonFlags& flags);

/// Starts the log and sets the number of threads, then finds the model.
pipeline::ModelChoice apply_common(const CommonFlags& flags, ModelParts needed = ModelParts::kAll);

/// The command line as it can be typed again.
std::string command_line(int argc, const char* const* argv);

int run_prune_command(int argc, const char* const* argv);
int run_plan_command(int argc, const char* const* argv);
int run_eval_command(int argc, const char* const* argv);
int run_inspect_command(int argc, const char* const* argv);
int run_report_command(int argc, const char* const* argv);
int run_pack_command(int argc, const char* const* argv);
int run_unpack_command(int argc, const char* const* argv);

}  // namespace prune::cli
