#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver {

/// Prunes `weight` column by column and moves each error onto the columns not yet visited.
/// Unstructured: within each block the threshold is the k-th smallest score w²/U_jj² = w² V_jj² over
/// all rows, ties going to the smaller row-major index, so the count is exact; k of block b is
/// round(s n_b) - round(s n_{b-1}), n_b the number of weights up to the end of block b, so that the
/// layer's count is round(s n) whatever the block size.
/// With quantization a kept weight becomes the nearest number of its group's grid; one that becomes 0
/// counts as kept. The mask is chosen as without.
/// @param weight [rows, cols] float32 contiguous, its columns in the factor's order, changed in place; its
/// device picks the kernel.
/// @param factor of the layer's input, same device. Weights of dead inputs are pruned first. (SparseGPT
/// zeroes all of them beyond the asked sparsity, too; here the count stays exact.)
/// @param options its algorithm and refine belong to prune_weight_ and are not looked at.
/// @throws Error(numeric) if a diagonal entry of V is not finite and positive.
/// @throws Error(usage) for prunem not dividing cols or blocksize, prunen > prunem; wbits not from 2 to
/// 8, a group size that does not divide cols and blocksize.
/// Source: Frantar & Alistarh 2023, SparseGPT, Algorithm 1 (arXiv 2301.00774), in the form of
/// ENGINEERING §2.2 that needs V only.
PruneResult prune_columns_(Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options);

}  // namespace prune::solver
