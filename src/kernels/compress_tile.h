#pragma once

#include <cstdint>
#include <cstring>

#include "tiles.h"

namespace prune::kernels::detail {
namespace {  // a copy for each instruction set

/// TileKernels::compress() without vectors.
[[maybe_unused]] uint64_t compress_tile(Element element, const uint8_t* tile, uint8_t* to) {
  uint64_t kept = 0;
  if (is_code(element)) {
    const int none = code_offset(element);
    for (int64_t bit = 0; bit < kTileBytes; ++bit) {
      *to = tile[bit];
      const bool keep = tile[bit] != none;
      to += keep ? 1 : 0;
      kept |= uint64_t{keep} << bit;
    }
    return kept;
  }
  for (int64_t bit = 0; bit < kTileBytes / 2; ++bit) {
    uint16_t element_bits;
    std::memcpy(&element_bits, tile + 2 * bit, sizeof(element_bits));
    std::memcpy(to, &element_bits, sizeof(element_bits));
    const bool keep = (element_bits & 0x7fffU) != 0;  // neither 0 nor -0
    to += keep ? 2 : 0;
    kept |= uint64_t{keep} << bit;
  }
  return kept;
}

}  // namespace
}  // namespace prune::kernels::detail
