#pragma once

#include <functional>
#include <string>

#include "command_line.h"
#include "text_flags.h"

namespace prune::cli {

/// The flags of a pruning run; those with a fixed set of words hold text until checked_options().
struct PruneFlags {
  CommonFlags common;
  double target = -1.0;
  std::string pattern = "unstructured";
  std::string schedule = "kmeans";
  std::string solver = "sparsegpt";
  std::string loss = "stream";
  std::string level = "block";
  std::string order = "sequential";
  std::string calibration = "c4";
  std::string format = "auto";
  std::string act_order = "auto";
  std::string recover_scope = "model";
  std::string recovery_prefix = "--recover-";  ///< what the flags of the recovery begin with
  bool sym = false;
  bool asym = false;
  bool free_zeros = false;
  bool calibrate_all_experts = false;
  std::string evaluation;
  TextFlags text;
  std::string output;
  int64_t dist_timeout_s = 1800;
  pipeline::PruneOptions options;
};

/// A parser with all flags of a pruning run.
AppPointer make_prune_app(const std::string& name, const std::string& description,
                          PruneFlags& flags);

/// Adds the flags that begin with flags.recovery_prefix: lr, batch and scope.
void add_recovery_flags(CLI::App& app, PruneFlags& flags);

/// Adds the flags of texts and output, which `prune` and `prune recover` share.
void add_run_flags(CLI::App& app, PruneFlags& flags);

/// Checks the parsed flags and fills in the output's default name. It does not look up model and texts.
/// @throws Error(usage) naming the flag.
pipeline::PruneOptions checked_options(const CLI::App& app, const PruneFlags& flags);

/// Runs and prints the result. @param find_more looks up what `prune` itself does not have
int run_with_flags(const CLI::App& app, const Invocation& invocation, PruneFlags& flags,
                   const std::function<void(pipeline::PruneOptions&)>& find_more);

}  // namespace prune::cli
