#include <prune/loss/estimate.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace prune::loss {
namespace {

// The curve is 101 sums over the sorted estimates. Counting by the high half of the float (sign,
// exponent, 7 bits of mantissa) sorts them to within 1 % in one pass; a full sort would cost more
// than pruning the layer.
constexpr size_t kBins = size_t{1} << 15;

struct Bins {
  std::vector<int64_t> count = std::vector<int64_t>(kBins);
  std::vector<double> sum = std::vector<double>(kBins);
};

Bins bin_estimates(const Tensor& estimates) {
  Bins bins;
  const float* data = estimates.const_data_ptr<float>();
  for (int64_t i = 0; i < estimates.numel(); ++i) {
    const uint32_t bin = (std::bit_cast<uint32_t>(data[i]) & 0x7fffffffU) >> 16;
    ++bins.count[bin];
    bins.sum[bin] += data[i];
  }
  return bins;
}

// Interpolates linearly within a bin.
std::array<double, kQuantiles> cumulative_curve(const Bins& bins, int64_t numel) {
  std::array<double, kQuantiles> curve{};
  size_t bin = 0;
  int64_t count_below = 0;
  double sum_below = 0.0;
  for (size_t q = 0; q < kQuantiles; ++q) {
    const double wanted = static_cast<double>(numel) * static_cast<double>(q) / (kQuantiles - 1);
    while (bin < kBins && static_cast<double>(count_below + bins.count[bin]) <= wanted) {
      count_below += bins.count[bin];
      sum_below += bins.sum[bin++];
    }
    curve[q] = sum_below;
    if (bin < kBins) {
      curve[q] += bins.sum[bin] * (wanted - static_cast<double>(count_below)) /
                  static_cast<double>(bins.count[bin]);
    }
  }
  return curve;
}

// On a GPU a sort is faster than counting on the host, and reproducible, which a histogram by
// atomics is not.
// @param estimates [numel] float32
std::array<double, kQuantiles> sorted_curve(const Tensor& estimates) {
  const Tensor sorted = std::get<0>(estimates.sort());
  std::vector<Tensor> slices;
  int64_t begin = 0;
  for (int64_t q = 1; q < static_cast<int64_t>(kQuantiles); ++q) {
    const int64_t end = estimates.numel() * q / static_cast<int64_t>(kQuantiles - 1);
    slices.push_back(sorted.slice(0, begin, end).sum(at::kDouble));
    begin = end;
  }
  const Tensor sums = at::stack(slices).cumsum(0).cpu();
  std::array<double, kQuantiles> curve{};
  std::copy_n(sums.const_data_ptr<double>(), kQuantiles - 1, curve.begin() + 1);
  return curve;
}

}  // namespace

void scale_(LayerLoss& loss, double factor) {
  for (double* part : {&loss.mean, &loss.total, &loss.energy}) *part *= factor;
  for (double& sum : loss.cumulative) sum *= factor;
}

LayerLoss estimate_loss(const Tensor& weight, const hessian::HessianFactor& factor) {
  const Tensor diagonal = factor.v.diagonal();
  Tensor estimates = weight.to(at::kFloat).square();
  estimates.mul_(diagonal.square().mul_(0.5).masked_fill_(factor.dead, 0.0));
  estimates = estimates.flatten();

  LayerLoss loss;
  loss.cumulative = estimates.is_cuda()
                        ? sorted_curve(estimates)
                        : cumulative_curve(bin_estimates(estimates), estimates.numel());
  loss.total = loss.cumulative.back();
  loss.mean = loss.total / static_cast<double>(estimates.numel());
  return loss;
}

}  // namespace prune::loss
