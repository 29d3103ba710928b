#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <optional>
#include <string>
#include <vector>

// One tensor packed as packed_checkpoint.h describes.
namespace prune::checkpoint {

inline constexpr const char* kPackMask = ".pack_mask";
inline constexpr const char* kPackKept = ".pack_kept";
inline constexpr const char* kPackShape = ".pack_shape";

/// What the three tensors hold.
struct PackedTensor {
  Tensor mask;  ///< [ceil(elements / 8)] uint8
  Tensor kept;
  std::vector<int64_t> shape;
};

/// True for the dtypes of which zeros are left out.
bool can_pack(at::ScalarType dtype);

/// All elements but those whose bytes are all zero. @param value contiguous, on the CPU
PackedTensor pack_elements(const Tensor& value);
/// @throws Error(input) when the mask does not count what is kept.
Tensor unpack_elements(const PackedTensor& packed);

/// The zero points of a pack-quantized weight of this shape, [rows, groups] int8; none if the words of its
/// `weight_zero_point` do not go with it.
std::optional<Tensor> unpack_zero_points(const Tensor& words, int64_t rows, int64_t cols,
                                         int64_t wbits);
/// Codes other than their group's zero point. @param codes [rows, cols] int8 @param zero [rows, groups] int8
PackedTensor pack_codes_but(const Tensor& zero, const Tensor& codes, int64_t wbits);
/// @throws Error(input) as unpack_elements().
Tensor unpack_codes_but(const Tensor& zero, const PackedTensor& packed);

}  // namespace prune::checkpoint
