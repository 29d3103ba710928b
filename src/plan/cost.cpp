#include <prune/core/memory.h>
#include <prune/plan/cost.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace prune::plan {
namespace {

constexpr double kMemoryPower = 2.0;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double scaled(double at_half, double at_one, double ratio, double largest_power) {
  // A difference of sign, or nothing at all, shows no power.
  const double power =
      at_half * at_one > 0.0 ? std::clamp(std::log2(at_one / at_half), 1.0, largest_power) : 1.0;
  return at_one * std::pow(ratio, power);
}

// Applies `combine` to every quantity of two costs.
template <class Combine>
Cost combined(const Cost& a, const Cost& b, const Combine& combine) {
  return {.elapsed_s = std::max(0.0, combine(a.elapsed_s, b.elapsed_s)),
          .peak = {std::max(0.0, combine(a.peak.host, b.peak.host)),
                   std::max(0.0, combine(a.peak.device, b.peak.device))},
          .kept = {combine(a.kept.host, b.kept.host), combine(a.kept.device, b.kept.device)}};
}

}  // namespace

Probe::Mark Probe::begin() {
  synchronize(device_);
  host_.restart_peak();
  restart_peak_allocated_bytes(device_);
  return {now_s(),
          {static_cast<double>(host_.live()), static_cast<double>(allocated_bytes(device_))}};
}

Cost Probe::end(const Mark& before) {
  synchronize(device_);
  const double elapsed_s = now_s() - before.now_s;
  const Bytes peak{static_cast<double>(host_.peak()),
                   static_cast<double>(peak_allocated_bytes(device_))};
  const Bytes live{static_cast<double>(host_.live()),
                   static_cast<double>(allocated_bytes(device_))};
  return {.elapsed_s = elapsed_s, .peak = peak - before.live, .kept = live - before.live};
}

Cost median(std::vector<Cost> costs) {
  Cost result = costs.back();
  std::ranges::sort(costs, {}, &Cost::elapsed_s);
  result.elapsed_s = costs[costs.size() / 2].elapsed_s;
  return result;
}

Cost linear_fit(const Cost& at_x1, double x1, const Cost& at_x2, double x2, double x) {
  const double share = (x - x1) / (x2 - x1);
  return combined(at_x1, at_x2, [share](double a, double b) { return a + share * (b - a); });
}

Cost power_fit(const Cost& at_half, const Cost& at_one, double ratio, double time_power) {
  Cost cost = combined(at_half, at_one,
                       [ratio](double a, double b) { return scaled(a, b, ratio, kMemoryPower); });
  cost.elapsed_s = scaled(at_half.elapsed_s, at_one.elapsed_s, ratio, time_power);
  return cost;
}

}  // namespace prune::plan
