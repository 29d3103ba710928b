#pragma once

#include <prune/core/quantization.h>
#include <prune/core/tensor.h>

#include <optional>

#include "warp_tiles.h"

namespace prune::kernels {

/// The records of a matrix in host memory.
struct WarpRecords {
  detail::WarpTiles shape;  ///< without pointers
  Tensor records = {};      ///< bytes
  Tensor starts = {};       ///< [blocks, tiles + 1] int32; undefined without masks

  /// @return the shape with pointers to the tensors, which may have been copied to a device
  detail::WarpTiles view() const;
};

/// @param weight [rows, cols] float16 or bfloat16 on the CPU
/// @return nullopt if records with masks are larger than the matrix
std::optional<WarpRecords> pack_for_warps(const Tensor& weight);

/// @return nullopt if the layout cannot hold the codes: see whole_codes(); groups are of at least 64 columns
std::optional<WarpRecords> pack_for_warps(const QuantizedWeight& weight);

}  // namespace prune::kernels
