#include <prune/schedule/choose_candidate.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace prune::schedule {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

LossDifference loss_difference(const std::vector<double>& losses, const std::vector<double>& from) {
  std::vector<double> differences;
  std::ranges::transform(losses, from, std::back_inserter(differences), std::minus<>());
  LossDifference result{.mean = mean(differences)};
  double squares = 0.0;
  for (const double d : differences) squares += (d - result.mean) * (d - result.mean);
  const auto samples = static_cast<double>(differences.size());
  result.standard_error = std::sqrt(squares / (samples * (samples - 1)));
  return result;
}

size_t choose_candidate(const std::vector<std::vector<double>>& losses, size_t asked) {
  const auto best = std::ranges::min_element(losses, {}, mean);
  const LossDifference gain = loss_difference(losses[asked], *best);
  if (mean(losses[asked]) <= mean(losses.front()) && gain.mean <= gain.standard_error) return asked;
  return static_cast<size_t>(best - losses.begin());
}

}  // namespace prune::schedule
