#include <prune/core/python_random.h>
#include <prune/recovery/timetable.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace prune::recovery {
namespace {

constexpr int64_t kHeldOutShare = 32;
constexpr int64_t kMostHeldOut = 16;
constexpr int64_t kWarmUpShare = 8;
// The first steps of Adam are as long for a gradient of noise as for any other.
constexpr int64_t kFewestWarmUp = 4;

}  // namespace

const char* scope_name(Scope scope) {
  switch (scope) {
    case Scope::kModel:
      return "model";
    case Scope::kBlock:
      return "block";
    case Scope::kBoth:
      return "both";
  }
  return "";
}

int64_t held_out_samples(int64_t samples) {
  return std::clamp<int64_t>(samples / kHeldOutShare, 1, kMostHeldOut);
}

Timetable::Timetable(const RecoveryOptions& options, int64_t samples, uint64_t seed)
    : options_(options),
      samples_(samples),
      trained_(samples - held_out_samples(samples)),
      seed_(seed) {}

std::vector<int64_t> Timetable::held_out() const {
  std::vector<int64_t> samples(static_cast<size_t>(samples_ - trained_));
  std::iota(samples.begin(), samples.end(), trained_);
  return samples;
}

std::vector<int64_t> Timetable::batch(int64_t number) const {
  std::vector<int64_t> batch;
  int64_t epoch = -1;
  std::vector<int64_t> sequence;
  for (int64_t i = (number - 1) * options_.batch; i < number * options_.batch; ++i) {
    if (i / trained_ != epoch) {
      epoch = i / trained_;
      sequence = PythonRandom(seed_ + static_cast<uint64_t>(epoch)).shuffled_range(trained_);
    }
    batch.push_back(sequence[static_cast<size_t>(i % trained_)]);
  }
  return batch;
}

double default_rate(double loss, double kept_share) {
  constexpr double kMostDense = 0.95;
  constexpr double kLossOfLargest = 0.03;
  const double largest = kept_share > kMostDense ? 3e-4 : 3e-3;
  return largest * std::min(1.0, std::sqrt(loss / kLossOfLargest));
}

double Timetable::share_of_rate(int64_t number) const {
  const int64_t warm_up =
      std::clamp(options_.steps / kWarmUpShare, std::min(kFewestWarmUp, (options_.steps + 1) / 2),
                 options_.steps);
  if (number <= warm_up) {
    return static_cast<double>(number) / static_cast<double>(warm_up);
  }
  const double done =
      static_cast<double>(number - warm_up) / static_cast<double>(options_.steps - warm_up + 1);
  return 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

bool Timetable::measures_after(int64_t number) const {
  const int64_t before = (number - 1) * kMeasurements / options_.steps;
  return number * kMeasurements / options_.steps > before;
}

}  // namespace prune::recovery
