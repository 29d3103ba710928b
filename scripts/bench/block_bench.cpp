// Times the steps of one block of a model: forward, Hessians of its sites, factorisation, solver,
// transfer of its weights to and from the device; and a plain matrix product in the same dtype as
// the device's peak rate. Prints one JSON object.
//
//   bench_block MODEL DEVICE SAMPLES SEQLEN

#include <prune/core/device.h>
#include <prune/core/json_file.h>
#include <prune/hessian/accumulator.h>
#include <prune/hessian/factorize.h>
#include <prune/models/model.h>
#include <prune/solver/prune_columns.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "seconds_of_call.h"

namespace {

using prune::json;
using prune::Tensor;

constexpr int kRuns = 5;
constexpr int64_t kPeakSide = 8192;

// Seconds of the fastest of kRuns calls, after one warm-up.
template <class Action>
double seconds_of(at::Device device, Action&& action) {
  seconds_of_call(device, action);
  double fastest_s = seconds_of_call(device, action);
  for (int run = 1; run < kRuns; ++run) {
    fastest_s = std::min(fastest_s, seconds_of_call(device, action));
  }
  return fastest_s;
}

json figure(double flops, double elapsed_s) {
  return {{"elapsed_s", elapsed_s}, {"tflops", flops / elapsed_s / 1e12}};
}

// Floating-point operations of each step; a multiply-add counts as two.
double linear_flops(int64_t rows, int64_t cols, double tokens) {
  return 2 * tokens * static_cast<double>(rows) * static_cast<double>(cols);
}
double hessian_flops(int64_t cols, double tokens, bool on_cuda) {
  return 2 * tokens * static_cast<double>(prune::hessian::panel_elements(cols, on_cuda));
}
double factor_flops(int64_t cols) {
  const auto n = static_cast<double>(cols);
  return n * n * n / 3;
}
// The trailing product; the column loop takes about as long as 550 more columns would.
double solver_flops(int64_t rows, int64_t cols) {
  return static_cast<double>(rows) * static_cast<double>(cols) * (static_cast<double>(cols) + 550);
}

class SeenSites : public prune::models::BlockObserver {
 public:
  void on_site(int64_t site, const Tensor& x) override { sites.emplace(site, x); }
  std::map<int64_t, Tensor> sites;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const at::Device device = prune::find_device(argv[2]);
  const int64_t samples = std::stoll(argv[3]);
  const int64_t seqlen = std::stoll(argv[4]);
  const auto model = prune::models::Model::open(argv[1], {.device = device, .dtype = {}});
  const auto block = model.load_block(0);
  const auto options = at::TensorOptions(device).dtype(model.dtype());
  const Tensor hidden =
      at::randn({samples, seqlen, model.config().hidden_size}, at::TensorOptions(device))
          .to(options);
  const auto tokens = static_cast<double>(samples * seqlen);
  json result = {
      {"dtype", prune::dtype_name(model.dtype())}, {"samples", samples}, {"seqlen", seqlen}};

  double size_bytes = 0.0;
  for (const auto& layer : block->linears())
    size_bytes += static_cast<double>(layer.weight.nbytes());
  const double load_s = seconds_of(device, [&] { model.load_block(0); });
  const double store_s = seconds_of(device, [&] {
    for (const auto& layer : block->linears()) layer.weight.cpu();
  });
  result["load"] = {{"elapsed_s", load_s}, {"gb_per_s", size_bytes / load_s / 1e9}};
  result["store"] = {{"elapsed_s", store_s}, {"gb_per_s", size_bytes / store_s / 1e9}};

  const int64_t side = device.is_cuda() ? kPeakSide : kPeakSide / 4;
  const Tensor square = at::randn({side, side}, at::TensorOptions(device)).to(options);
  const double product_flops = 2.0 * static_cast<double>(side * side) * static_cast<double>(side);
  result["peak"] = figure(product_flops, seconds_of(device, [&] { at::mm(square, square); }));

  // Causal attention: on average a token attends to half of the sequence.
  double forward_flops = static_cast<double>(samples) * 2.0 * static_cast<double>(seqlen * seqlen) *
                         static_cast<double>(model.config().hidden_size);
  for (const auto& layer : block->linears()) {
    forward_flops += linear_flops(layer.weight.size(0), layer.weight.size(1), tokens);
  }
  result["forward"] = figure(forward_flops, seconds_of(device, [&] { block->forward(hidden); }));

  SeenSites seen;
  block->forward(hidden, &seen);
  double flops_of_hessians = 0.0;
  double hessian_s = 0.0;
  std::map<int64_t, prune::hessian::HessianFactor> factors;
  for (const auto& entry : seen.sites) {
    const Tensor& x = entry.second;
    const int64_t cols = x.size(2);
    prune::hessian::HessianAccumulator sum(cols, device);
    flops_of_hessians += hessian_flops(cols, tokens, device.is_cuda());
    hessian_s += seconds_of(device, [&] { sum.add(prune::hessian::all_rows(x)); });
    Tensor hessian = sum.finish();
    factors[entry.first] = prune::hessian::factorize_(hessian, 0.01);
  }
  result["hessians"] = figure(flops_of_hessians, hessian_s);

  double flops_of_factors = 0.0;
  double factor_s = 0.0;
  double flops_of_solver = 0.0;
  double solver_s = 0.0;
  for (const auto& [site, factor] : factors) {
    Tensor damped = factor.hessian.clone();
    flops_of_factors += factor_flops(damped.size(0));
    factor_s += seconds_of(device, [&] { prune::hessian::factorize_(damped, 0.0); });
  }
  for (const auto& layer : block->linears()) {
    flops_of_solver += solver_flops(layer.weight.size(0), layer.weight.size(1));
    solver_s += seconds_of(device, [&] {
      Tensor weight = layer.weight.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
      prune::solver::prune_columns_(weight, factors.at(layer.site), {.sparsity = 0.7});
    });
  }
  result["factors"] = figure(flops_of_factors, factor_s);
  result["solver"] = figure(flops_of_solver, solver_s);
  std::cout << result.dump(2) << std::endl;
  return 0;
}
