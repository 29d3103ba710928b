#include <prune/core/python_random.h>
#include <prune/recovery/timetable.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace prune::recovery {
namespace {

constexpr int64_t kHeldOutShare = 32;
constexpr int64_t kMostHeldOut = 16;
constexpr int64_t kWarmUpShare = 8;
constexpr int64_t kMeasurements = 8;

}  // namespace

Timetable::Timetable(const RecoveryOptions& options, int64_t samples, uint64_t seed)
    : options_(options),
      samples_(samples),
      trained_(samples - std::clamp<int64_t>(samples / kHeldOutShare, 1, kMostHeldOut)),
      seed_(seed) {}

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

double Timetable::rate(int64_t number) const {
  const int64_t warm_up = std::max<int64_t>(1, options_.steps / kWarmUpShare);
  if (number <= warm_up) {
    return options_.rate * static_cast<double>(number) / static_cast<double>(warm_up);
  }
  const double done =
      static_cast<double>(number - warm_up) / static_cast<double>(options_.steps - warm_up + 1);
  return options_.rate * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

bool Timetable::measures_after(int64_t number) const {
  const int64_t before = (number - 1) * kMeasurements / options_.steps;
  return number * kMeasurements / options_.steps > before;
}

}  // namespace prune::recovery
