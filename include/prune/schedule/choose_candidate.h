#pragma once

#include <cstddef>
#include <vector>

namespace prune::schedule {

/// The loss of one candidate minus that of another.
struct LossDifference {
  double mean = 0.0;
  double standard_error = 0.0;  ///< of the mean, over the samples
};

/// @param losses, from  mean loss of each held-out sample, of the same two or more samples
LossDifference loss_difference(const std::vector<double>& losses, const std::vector<double>& from);

/// Chooses among the schedules that `auto` tried. The requested one stays unless the best
/// candidate's loss is lower by more than the standard error of the difference per sample: a trial
/// sees few samples, and within that error the ranking is chance. A candidate with a loss above
/// uniform's is never chosen.
/// @param losses mean loss of each held-out sample, per candidate; the first candidate is uniform
/// @param asked  index of the requested candidate
/// @return index of the chosen candidate
size_t choose_candidate(const std::vector<std::vector<double>>& losses, size_t asked);

}  // namespace prune::schedule
