#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <prune/core/tensor.h>
#include <prune/hessian/factorize.h>

namespace prune::test {

/// A layer and its Hessian, similar to calibration's: correlated columns, some far stronger.
struct Problem {
  Tensor weight;   ///< [rows, cols] float32
  Tensor hessian;  ///< [cols, cols] float32, undamped
  hessian::HessianFactor factor;
};

struct ProblemShape {
  int64_t rows;
  int64_t cols;
  int64_t samples = 0;  ///< 0: four per column; fewer than cols makes H singular
  uint64_t seed = 7;
};

inline Problem make_problem(const ProblemShape& shape) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(shape.seed);
  const auto normal = [&](at::IntArrayRef sizes) {
    return at::empty(sizes, at::kFloat).normal_(0.0, 1.0, generator);
  };
  const int64_t samples = shape.samples > 0 ? shape.samples : 4 * shape.cols;
  const Tensor mix = normal({shape.cols, shape.cols}) / std::sqrt(static_cast<double>(shape.cols)) +
                     at::eye(shape.cols);
  const Tensor x = at::matmul(normal({samples, shape.cols}), mix) * normal({shape.cols}).exp();
  Problem problem;
  problem.weight = normal({shape.rows, shape.cols});
  problem.hessian = at::matmul(x.t(), x) * (2.0 / static_cast<double>(samples));
  Tensor scratch = problem.hessian.clone();
  problem.factor = hessian::factorize_(scratch, 0.01);
  return problem;
}

/// tr((W - W0) H (W - W0)ᵀ) in float64.
inline double reconstruction_error(const Tensor& weight, const Problem& problem) {
  const Tensor difference = (weight - problem.weight).to(at::kDouble);
  return (at::matmul(difference, problem.hessian.to(at::kDouble)) * difference)
      .sum()
      .item<double>();
}

}  // namespace prune::test
