#pragma once

#include <prune/hessian/factor.h>

#include <cstdint>

namespace prune::solver {

/// The columns of units of so many neighbours. @param units int64. @return int64, on the same device
Tensor columns_of_units(const Tensor& units, int64_t columns_of_unit);

/// A layer without some of its columns.
struct KeptColumns {
  Tensor units;         ///< [keep] int64 on the CPU, ascending
  Tensor weight;        ///< [rows, keep * columns_of_unit] float32
  double loss = 0.0;    ///< tr(D H Dᵀ), D the change of the weight, H damped
  double energy = 0.0;  ///< tr(W H Wᵀ): the loss if all columns went
};

/// Removes whole units of neighbouring columns: always those that cost least once the others make up for them
/// (ZipLM, arXiv 2302.04089, equations 2 to 4). Removing the columns S costs tr(W_S (H⁻¹_SS)⁻¹ W_Sᵀ) and changes the
/// weight by −W_S (H⁻¹_SS)⁻¹ H⁻¹_S. Single columns go a few dozen at a time: src/solver/README.md, "Whole columns".
/// The weights that stay are the least-squares solution for the columns that stay.
/// @param weight [rows, cols], any float dtype; columns without activations count as zero
/// @param factor of the layer's site, not permuted
/// @param keep  units that stay, at least 1
KeptColumns keep_columns(const Tensor& weight, const hessian::HessianFactor& factor,
                         int64_t columns_of_unit, int64_t keep);

}  // namespace prune::solver
