#pragma once

#include <prune/plan/measure.h>

#include <map>
#include <string>
#include <vector>

namespace prune::plan {

/// Memory held at one moment of a run, beyond what the idle process has.
struct Moment {
  struct Item {
    std::string what;
    Bytes size;
  };
  std::string when;  ///< "prune: solver"
  std::vector<Item> items;
  Bytes total() const;
};

/// A phase of the report's `elapsed_s`, as the slowest rank spends it.
struct Phase {
  std::string name;
  std::map<std::string, double> work_s;  ///< by kind of work
  double reading_s = 0.0;                ///< from the disk, beside the work
  double writing_s = 0.0;                ///< to the disk, beside the work
  double elapsed_s() const;
};

/// What a run costs: its phases in sequence, and for every kind of moment the one that needs most memory.
struct Price {
  std::vector<Phase> phases;
  std::vector<Moment> moments;
};

/// Follows the run's passes with dist::follow() as every rank would, and adds up the measured costs of the steps.
/// The ranks wait for each other where a stage's Hessians come together and where its results are shared.
/// Memory is that of the rank that needs most.
Price price(const RunShape& run, const Costs& costs);

/// What one of several ranks does.
struct RankShare {
  int64_t rank = 0;
  int64_t nsamples = 0;
  int64_t segments = 0;
  double hessian_flops = 0.0;      ///< of all passes
  int64_t sent_hessian_bytes = 0;  ///< to their owners, in all passes
  int64_t solved_layers = 0;
};

std::vector<RankShare> rank_shares(const RunShape& run);

/// What every rank but one sends for one block, on average: the Hessians of all sites, once per pass, and the pruned
/// weights.
struct Exchange {
  int64_t hessian_bytes = 0;
  int64_t weight_bytes = 0;
};
Exchange exchange(const RunShape& run);

}  // namespace prune::plan
