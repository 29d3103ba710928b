#pragma once

#include <prune/checkpoint/checkpoint.h>

#include <optional>
#include <string>
#include <vector>

// Packs and unpacks one tensor in the format of packed_checkpoint.h.
namespace prune::checkpoint {

inline constexpr const char* kPackMask = ".pack_mask";
inline constexpr const char* kPackKept = ".pack_kept";
inline constexpr const char* kPackShape = ".pack_shape";

/// The three tensors that store one packed tensor.
struct PackedTensor {
  Tensor mask;  ///< [ceil(elements / 8)] uint8
  Tensor kept;
  std::vector<int64_t> shape;
};

/// True for the dtypes whose zeros pack_elements() omits.
bool can_pack(at::ScalarType dtype);

/// Keeps the elements whose bytes are not all zero. @param value contiguous, on the CPU
PackedTensor pack_elements(const Tensor& value);
/// @throws Error(input) if the mask's count of kept elements differs from the number stored.
Tensor unpack_elements(const PackedTensor& packed);

/// Zero points of a pack-quantized weight [rows, cols], as [rows, groups] int8; nullopt if dtype or shape
/// of its `weight_zero_point` tensor `words` do not match.
std::optional<Tensor> unpack_zero_points(const Tensor& words, int64_t rows, int64_t cols,
                                         int64_t wbits);
/// Keeps the codes that differ from their group's zero point.
/// @param zero [rows, groups] int8. @param codes [rows, cols] int8
PackedTensor pack_codes_but(const Tensor& zero, const Tensor& codes, int64_t wbits);
/// @return codes [rows, cols] int8. @throws Error(input) as unpack_elements()
Tensor unpack_codes_but(const Tensor& zero, const PackedTensor& packed);

}  // namespace prune::checkpoint
