#include <prune/core/error.h>
#include <prune/hessian/factorize.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

namespace prune::hessian {
namespace {

constexpr int kMaxDampRaises = 3;

// flip({0, 1}) of a dense matrix; in place on the CPU, where it reverses all elements.
Tensor flip_(const Tensor& matrix) {
  if (!matrix.is_cpu()) return matrix.flip({0, 1});
  auto* const data = matrix.mutable_data_ptr<float>();
  std::reverse(data, data + matrix.numel());
  return matrix;
}

}  // namespace

HessianFactor factorize_(Tensor& hessian, double percdamp, bool act_order) {
  HessianFactor factor;
  if (act_order) {
    factor.permutation =
        hessian.diagonal().argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
    hessian = hessian.index({factor.permutation.unsqueeze(1), factor.permutation});
  }
  Tensor diagonal = hessian.diagonal();
  factor.dead = diagonal.eq(0);
  diagonal.masked_fill_(factor.dead, 1.0);
  const double mean = diagonal.mean().item<double>();
  if (!std::isfinite(mean)) {
    throw Error(ErrorKind::kNumeric, "the Hessian's diagonal is not finite");
  }

  factor.damp = percdamp * mean;
  diagonal.add_(factor.damp);
  factor.hessian = hessian;
  while (true) {
    // LAPACK wants contiguous columns. H is symmetric, so a transposed view has them, and the
    // factorisation makes no further copy.
    Tensor reversed = hessian.flip({0, 1}).mT();
    Tensor info = at::empty({}, reversed.options().dtype(at::kInt));
    at::linalg_cholesky_ex_out(reversed, info, reversed);
    if (info.item<int>() == 0) {
      factor.v = flip_(reversed);
      return factor;
    }
    if (factor.damp_raises == kMaxDampRaises) {
      throw Error(ErrorKind::kNumeric,
                  fmt::format("the Hessian is not positive definite even with damp {:.3e} "
                              "({} x the mean of its diagonal); give more calibration tokens or a "
                              "larger --percdamp",
                              factor.damp, factor.damp / mean));
    }
    // A damp of 0 cannot be multiplied; SparseGPT's default, 1 %, is the next step.
    const double raised = factor.damp > 0 ? 10 * factor.damp : 0.01 * mean;
    diagonal.add_(raised - factor.damp);
    factor.damp = raised;
    ++factor.damp_raises;
    spdlog::warn("factorisation failed; damp raised to {:.3e} ({} of {})", factor.damp,
                 factor.damp_raises, kMaxDampRaises);
  }
}

}  // namespace prune::hessian
