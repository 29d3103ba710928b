#pragma once

#include <memory>
#include <string>

#include "command_line.h"

namespace prune::cli {

/// The flags of a pruning run; some hold text until it is checked.
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
  bool sym = false;
  bool asym = false;
  std::string evaluation;
  std::string output;
  int64_t dist_timeout_s = 1800;
  pipeline::PruneOptions options;
};

/// A parser with all of them.
std::unique_ptr<CLI::App> make_prune_app(const std::string& name, const std::string& description,
                                         PruneFlags& flags);

/// Checks what was parsed and names the output; model and texts are not looked up yet.
/// @throws Error(usage) naming the flag.
pipeline::PruneOptions checked_options(const CLI::App& app, const PruneFlags& flags);

}  // namespace prune::cli
