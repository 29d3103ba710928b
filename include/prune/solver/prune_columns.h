#pragma once

#include <prune/hessian/factor.h>
#include <prune/solver/options.h>

namespace prune::solver {

/// Prunes `weight` column by column and moves each error onto the columns not yet visited.
/// Unstructured: within each block of columns the threshold is the k-th smallest score w² / U_jj² =
/// w² V_jj² over all rows; of equal scores the smaller row-major index goes first, so the count is
/// exact. Block b has k = round(s n_b) - round(s n_{b-1}), n_b being the number of weights up to
/// its end, so the layer's count is round(s n) for every block size. With quantization a kept
/// weight becomes the nearest number of its group's grid; if that is 0 it still counts as kept. The
/// mask is chosen as without quantization.
/// @param weight [rows, cols] float32 contiguous, columns in the factor's permutation; changed in
///        place. Its device selects the kernel.
/// @param factor of the layer's site, same device. Weights of dead columns are pruned first.
///        (SparseGPT zeroes all of them even beyond the sparsity; here the count stays exact.)
/// @param options `solver` and `refine` are ignored; prune_weight_ follows them.
/// @return scale and zero point are in the site's columns, mask in the factor's permutation.
/// @throws Error(numeric) if a diagonal entry of V is not finite and positive.
/// @throws Error(usage) if prunem does not divide cols and blocksize, if prunen > prunem, if wbits
///         is not between 2 and 8, if the group size does not divide cols and blocksize.
/// Source: Frantar & Alistarh 2023, SparseGPT, Algorithm 1 (arXiv 2301.00774), in the form that
/// needs V only: src/solver/README.md, "The form that needs V only".
PruneResult prune_columns_(Tensor& weight, const hessian::HessianFactor& factor,
                           const SolverOptions& options);

}  // namespace prune::solver
