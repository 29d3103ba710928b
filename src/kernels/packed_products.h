#pragma once

#include "packed_matrix.h"

// What PackedMatrix does with given kernels.
namespace prune::kernels {

/// The tiles of a matrix, as long as it lives.
detail::Tiles tiles_of(const PackedMatrix& weight);

/// x Wᵀ. @param x [tokens, cols] float32, contiguous, at most kMostTokens. @return [tokens, rows]
Tensor multiply_few(const PackedMatrix& weight, const Tensor& x,
                    const detail::TileKernels& kernels);

/// As PackedMatrix::expand().
Tensor expand_rows(const PackedMatrix& weight, int64_t first, int64_t count,
                   const detail::TileKernels& kernels);

}  // namespace prune::kernels
