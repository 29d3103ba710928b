#include "mapped_tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "checked_math.h"

namespace prune::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "both formats store little-endian numbers");

bool is_contiguous(at::IntArrayRef sizes, at::IntArrayRef strides) {
  int64_t expected = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] != 1 && strides[i] != expected) return false;
    expected *= sizes[i];
  }
  return true;
}

bool is_aligned(const std::byte* address, at::ScalarType dtype) {
  return reinterpret_cast<uintptr_t>(address) % c10::elementSize(dtype) == 0;
}

Tensor aligned_copy(const std::byte* address, int64_t extent, at::ScalarType dtype) {
  Tensor copy = at::empty({extent}, at::TensorOptions().dtype(dtype));
  std::memcpy(copy.data_ptr(), address, copy.nbytes());
  return copy;
}

}  // namespace

Tensor tensor_of_mapping(const std::shared_ptr<const MappedFile>& file, int64_t offset,
                         at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype);
  // An empty tensor may begin at the end of the file, where no byte is mapped.
  if (std::ranges::find(sizes, 0) != sizes.end()) return at::empty(sizes, options);
  const std::byte* address = file->data() + offset;
  if (!is_aligned(address, dtype)) {
    const int64_t extent = strided_extent(sizes, strides).value();
    return aligned_copy(address, extent, dtype).as_strided(sizes, strides).contiguous();
  }
  const auto keep_alive = [file](void*) {};
  // from_blob takes a mutable pointer; the header forbids writes through it.
  void* data = const_cast<std::byte*>(address);
  if (is_contiguous(sizes, strides)) return at::from_blob(data, sizes, keep_alive, options);
  return at::from_blob(data, sizes, strides, keep_alive, options).contiguous();
}

std::vector<int64_t> contiguous_strides(at::IntArrayRef sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<int64_t>(sizes[i], 1);
  }
  return strides;
}

std::optional<int64_t> strided_extent(at::IntArrayRef sizes, at::IntArrayRef strides) {
  if (std::ranges::find(sizes, 0) != sizes.end()) return 0;
  std::optional<int64_t> extent = 1;
  for (size_t i = 0; i < sizes.size() && extent; ++i) {
    const auto span = checked_multiply(sizes[i] - 1, strides[i]);
    extent = span ? checked_add(*extent, *span) : std::nullopt;
  }
  return extent;
}

}  // namespace prune::checkpoint
