#pragma once

#include <prune/plan/cost_model.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::plan {

/// What `prune plan` says of a run that has not begun.
struct Plan {
  std::string id;  ///< the model as the user named it
  RunShape run;
  std::string schedule;  ///< its table where it is known beforehand, else how it will come about
  std::string device;
  std::string output;  ///< folder
  Rates rates;
  int64_t world_size = 1;

  // Measured while the inputs were opened as the run opens them.
  double open_s = 0.0;
  int64_t open_peak_bytes = 0;  ///< host memory
  int64_t idle_bytes = 0;       ///< host memory of the process before a pass begins

  int64_t available_host_bytes = 0;
  int64_t available_device_bytes = 0;
  int64_t available_disk_bytes = 0;

  std::vector<std::string> warnings;  ///< of the inputs; what does not fit is added by the report

  std::vector<Phase> all_phases() const;  ///< with "open", of the rank that has most to do
  double elapsed_s() const;
  int64_t peak_host_bytes() const;
  int64_t peak_device_bytes() const;
};

/// What does not fit, with the flag that helps.
std::vector<std::string> shortages(const Plan& plan);

/// Keys as in prune_report.json where it is the same thing.
nlohmann::json to_json(const Plan& plan);

std::string plan_table(const Plan& plan);

}  // namespace prune::plan
