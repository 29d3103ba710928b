#pragma once

#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

namespace prune::solver {

enum class Algorithm {
  kSparseGpt,  ///< column by column: prune_columns_()
  kAlps,       ///< ADMM over the whole layer: better masks for more work
};

struct SolverOptions {
  Algorithm solver = Algorithm::kSparseGpt;
  double sparsity = 0.5;  ///< fraction of zeros in the layer; ignored with an N:M pattern
  int64_t prunen = 0;     ///< zeros in every prunem weights of a row; 0: unstructured
  int64_t prunem = 0;
  int64_t blocksize = 128;  ///< columns per lazy update; SparseGPT's B
  /// Weights that are zero stay zero, even beyond the sparsity, so that a sparse model stays as sparse when it is
  /// pruned or rounded again.
  bool keep_zeros = true;
  int64_t refine = 0;         ///< most conjugate-gradient steps on the kept weights, mask fixed
  Quantization quantization;  ///< of the kept weights, within the column loop
  at::ScalarType scale_dtype = at::kHalf;  ///< dtype of the stored scales; they are rounded to it
};

struct PruneResult {
  Tensor mask = {};  ///< [rows, cols] bool, true = pruned
  /// Number of pruned weights: exactly round(sparsity * rows * cols), or more if more were zero before.
  int64_t zeros = 0;
  double loss = 0.0;  ///< tr(D H Dᵀ) / 2, D the change, H damped: squared error per sample
  Tensor scale = {};  ///< [rows, groups] float32; undefined without quantization
  Tensor zero = {};   ///< [rows, groups] float32, the zero points; whole numbers
  double loss_rounding = 0.0;    ///< the part of `loss` caused by rounding kept weights
  int64_t admm_steps = 0;        ///< taken by kAlps
  int64_t refine_steps = 0;      ///< taken by refine; fewer than options.refine if it converged
  double refine_residual = 1.0;  ///< norm of the kept weights' gradient; 1 before refining
};

}  // namespace prune::solver
