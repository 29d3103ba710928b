#pragma once

#include <prune/core/mapped_file.h>
#include <prune/core/tensor.h>

#include <memory>
#include <optional>
#include <vector>

namespace prune::checkpoint {

/// Makes a contiguous tensor from bytes of a mapping: a view that keeps the mapping alive if the strides
/// are contiguous and the address is aligned for the dtype, else a copy.
/// @param offset    byte of the file where element 0 begins; the caller checks the bounds.
/// @param strides   in elements, not negative.
Tensor tensor_of_mapping(const std::shared_ptr<const MappedFile>& file, int64_t offset,
                         at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype);

/// Strides of a contiguous tensor of these sizes, as torch computes them.
std::vector<int64_t> contiguous_strides(at::IntArrayRef sizes);

/// Number of elements from the first to the last of a strided tensor, both included; 0 for an empty
/// tensor, nullopt on overflow.
std::optional<int64_t> strided_extent(at::IntArrayRef sizes, at::IntArrayRef strides);

}  // namespace prune::checkpoint
