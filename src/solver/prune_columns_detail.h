#pragma once

#include <prune/solver/prune_columns.h>

// The twins behind prune_columns_. Both work block by block in the form that needs V only:
//
//   S = 0 [rows, cols]; for each block b of columns:
//     U_bb = V_bb^-1
//     W1   = W_b + S_b U_bb            the block with all earlier errors moved onto it
//     Q    = column loop over W1 with U_bb (SparseGPT's inner loop, unchanged)
//     S[:, after b] += (W_b - Q) V[b, after b];  W_b = Q
//
// This is ENGINEERING §2.2 with its scalings by diag(V) cancelled: S there is S diag(V)^-1 here, and
// diag(U_bb)^-1 U_bb = diag(V_bb) U_bb.
namespace prune::solver::detail {

PruneResult prune_columns_cpu_(Tensor& weight, const hessian::HessianFactor& factor,
                               const SolverOptions& options);
PruneResult prune_columns_cuda_(Tensor& weight, const hessian::HessianFactor& factor,
                                const SolverOptions& options);

/// V_jj [cols], 0 where the input never fired: a weight there scores 0, so it goes first, and removing it
/// moves nothing and costs nothing.
Tensor live_diagonal(const hessian::HessianFactor& factor);

/// Number of weights to prune in the block of columns [begin, end), so that the counts of all blocks
/// add up to round(sparsity * rows * cols).
int64_t block_zeros(int64_t rows, int64_t begin, int64_t end, double sparsity);

}  // namespace prune::solver::detail
