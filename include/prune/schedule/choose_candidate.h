#pragma once

#include <cstddef>
#include <vector>

namespace prune::schedule {

/// How far one candidate's loss lies above another's.
struct LossDifference {
  double mean = 0.0;
  double standard_error = 0.0;  ///< of that mean, over the samples
};

/// @param losses, from  mean loss of each held-out sample: at least two, the same for both
LossDifference loss_difference(const std::vector<double>& losses, const std::vector<double>& from);

/// Which of the schedules that `auto` tried it takes. The one that was asked for stays, unless another's loss is
/// lower by more than the standard error of their difference, sample by sample: a trial sees few samples, and
/// what is nearer than that comes out either way. Never one whose loss is above uniform's.
/// @param losses of each candidate the mean loss of each held-out sample; the first candidate is uniform
/// @param asked  the number of the one that was asked for
size_t choose_candidate(const std::vector<std::vector<double>>& losses, size_t asked);

}  // namespace prune::schedule
