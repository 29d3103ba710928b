#pragma once

#include <cstddef>
#include <vector>

namespace prune::schedule {

/// Which of the schedules that `auto` tried it takes. The one that was asked for stays, unless another's loss is
/// lower by more than the standard error of their difference, sample by sample: a trial sees few samples, and
/// what is nearer than that comes out either way. Never one whose loss is above uniform's.
/// @param losses of each candidate the mean loss of each held-out sample; the first candidate is uniform
/// @param asked  the number of the one that was asked for
size_t choose_candidate(const std::vector<std::vector<double>>& losses, size_t asked);

}  // namespace prune::schedule
