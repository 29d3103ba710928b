#include <prune/schedule/choose_candidate.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace prune::schedule {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Whether a is below b by more than their scatter explains.
bool clearly_below(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference;
  std::ranges::transform(b, a, std::back_inserter(difference), std::minus<>());
  const double gain = mean(difference);
  double squares = 0.0;
  for (const double d : difference) squares += (d - gain) * (d - gain);
  const auto samples = static_cast<double>(difference.size());
  return gain > std::sqrt(squares / (samples * (samples - 1)));
}

}  // namespace

size_t choose_candidate(const std::vector<std::vector<double>>& losses, size_t asked) {
  const auto best = std::ranges::min_element(losses, {}, mean);
  const std::vector<double>& stays = losses[asked];
  if (mean(stays) <= mean(losses.front()) && !clearly_below(*best, stays)) return asked;
  return static_cast<size_t>(best - losses.begin());
}

}  // namespace prune::schedule
