#pragma once

#include <prune/solver/prune_columns.h>

#include <vector>

// The CPU and CUDA twins behind prune_columns_. Both use the form that needs V only, by blocks:
//
//   S = 0 [rows, cols]; for each block b of columns:
//     U_bb = V_bb^-1
//     W1   = W_b + S_b U_bb            the block with all earlier errors moved onto it
//     Q    = column loop over W1 with U_bb (SparseGPT's inner loop, unchanged)
//     S[:, after b] += (W_b - Q) V[b, after b];  W_b = Q
//
// src/solver/README.md, "The form that needs V only", derives it.
namespace prune::solver::detail {

PruneResult prune_columns_cpu_(Tensor& weight, const hessian::HessianFactor& factor,
                               const SolverOptions& options);
PruneResult prune_columns_cuda_(Tensor& weight, const hessian::HessianFactor& factor,
                                const SolverOptions& options);

/// V_jj [cols], with 0 for dead columns: their weights score 0, so they are pruned first, and
/// pruning them moves nothing and costs nothing.
Tensor live_diagonal(const hessian::HessianFactor& factor);

/// The weights that are zero already and stay so (SolverOptions::keep_zeros).
class KeptZeros {
 public:
  KeptZeros(const Tensor& weight, const SolverOptions& options);

  bool any() const { return mask_.defined(); }
  /// [rows, cols] bool, on the weight's device; only if any().
  const Tensor& mask() const { return mask_; }
  /// Their number in columns [begin, end).
  int64_t count(int64_t begin, int64_t end) const;
  /// The weights of a block from which the others to prune are chosen: zeros that stay rank last.
  /// @param entry [rows, end - begin] the block's weights after all earlier errors
  Tensor without(const Tensor& entry, int64_t begin, int64_t end) const;

 private:
  Tensor mask_;
  std::vector<int64_t> before_;  // number left of each column
};

/// Number of weights to prune in columns [begin, end). The counts of all blocks add up to
/// round(sparsity * rows * cols).
int64_t block_zeros(int64_t rows, int64_t begin, int64_t end, double sparsity);

}  // namespace prune::solver::detail
