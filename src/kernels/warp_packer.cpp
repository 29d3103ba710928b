#include "warp_packer.h"

#include <prune/core/error.h>
#include <prune/core/parallel.h>

#include <cstring>
#include <limits>
#include <vector>

#include "whole_codes.h"

namespace prune::kernels {
namespace {

using detail::Arrangement;
using detail::Element;
using detail::kBlockRows;
using detail::kHalfCols;
using detail::kOctets;
using detail::kWarpCols;
using detail::WarpTiles;

constexpr int kLanes = 32;

/// A tile's elements: codes as they are, elements of 16 bits as their bits.
struct DenseTile {
  int32_t at[kBlockRows][kWarpCols];

  /// @param row 0 or 1: the lane's first or second row
  int32_t& element(int lane, int half, int octet, int row, int col) {
    return at[lane / 4 + 8 * row][half * kHalfCols + lane % 4 * 16 + 4 * octet + col];
  }
};

class Packer {
 public:
  /// @param elements [rows, cols] int16 or int8. @param scales int16, see WholeCodes; undefined for elements of 16 bits
  Packer(WarpTiles shape, Tensor elements, const Tensor& scales)
      : shape_(shape), elements_(std::move(elements)) {
    if (scales.defined()) {
      scales_ = at::zeros({shape.blocks() * kBlockRows, shape.groups()}, at::kShort);
      scales_.narrow(0, 0, shape.rows).narrow(1, 0, scales.size(1)).copy_(scales);
    }
  }

  WarpRecords pack() {
    WarpRecords result{.shape = shape_};
    const int64_t tiles = shape_.tiles();
    std::vector<std::vector<uint8_t>> blocks(static_cast<size_t>(shape_.blocks()));
    const bool masked = shape_.arrangement == Arrangement::kMasked;
    std::vector<int64_t> sizes(static_cast<size_t>(shape_.blocks() * tiles));
    parallel_for(0, shape_.blocks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t block = first; block < end; ++block) {
        std::vector<uint8_t>& to = blocks[static_cast<size_t>(block)];
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const size_t before = to.size();
          DenseTile dense = read(block, tile);
          masked ? append_masked(dense, block, tile, to) : append_direct(dense, block, tile, to);
          sizes[static_cast<size_t>(block * tiles + tile)] =
              static_cast<int64_t>(to.size() - before);
        }
      }
    });
    result.shape.record_bytes = *std::ranges::max_element(sizes);
    if (masked) result.starts = starts_of(sizes);
    int64_t total = 0;
    for (const auto& block : blocks) total += static_cast<int64_t>(block.size());
    result.records = at::empty({total}, at::kByte);
    auto* to = result.records.mutable_data_ptr<uint8_t>();
    for (auto& block : blocks) {
      std::memcpy(to, block.data(), block.size());
      to += block.size();
      block = {};
    }
    return result;
  }

 private:
  Tensor starts_of(const std::vector<int64_t>& sizes) const {
    const int64_t tiles = shape_.tiles();
    const Tensor starts = at::empty({shape_.blocks(), tiles + 1}, at::kInt);
    auto* to = starts.mutable_data_ptr<int32_t>();
    int64_t start = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (i % static_cast<size_t>(tiles) == 0) *to++ = static_cast<int32_t>(start);
      start += sizes[i] / 16;
      *to++ = static_cast<int32_t>(start);
    }
    // 32 GB in one matrix.
    if (start > std::numeric_limits<int32_t>::max()) {
      throw Error(ErrorKind::kInput, "a matrix is too large for the GPU's packed layout");
    }
    return starts;
  }

  DenseTile read(int64_t block, int64_t tile) const {
    DenseTile dense{};
    const int64_t rows = std::min(kBlockRows, shape_.rows - block * kBlockRows);
    const int64_t cols = std::min(kWarpCols, shape_.cols - tile * kWarpCols);
    const auto copy = [&]<class T>(const T* from) {
      for (int64_t i = 0; i < rows; ++i) {
        const T* row = from + (block * kBlockRows + i) * shape_.cols + tile * kWarpCols;
        for (int64_t j = 0; j < cols; ++j) dense.at[i][j] = row[j];
      }
    };
    if (detail::is_code(shape_.element)) {
      copy(elements_.const_data_ptr<int8_t>());
    } else {
      copy(elements_.const_data_ptr<int16_t>());
      // The sign bit alone is zero, too.
      for (auto& row : dense.at) {
        for (int32_t& bits : row) {
          if ((bits & 0x7fff) == 0) bits = 0;
        }
      }
    }
    return dense;
  }

  // Pairs of rows g and g + 8, for each group of the tile.
  void append_scales(int64_t block, int64_t tile, std::vector<uint8_t>& to) const {
    const auto* scales = scales_.defined() ? scales_.const_data_ptr<int16_t>() : nullptr;
    for (int64_t group = 0; group < shape_.groups_per_tile; ++group) {
      for (int64_t i = 0; i < kBlockRows; ++i) {
        const int64_t row = block * kBlockRows + i / 2 + i % 2 * 8;
        append(scales[row * shape_.groups() + tile * shape_.groups_per_tile + group], to);
      }
    }
  }

  template <class T>
  static void append(const T& value, std::vector<uint8_t>& to) {
    const size_t size = to.size();
    to.resize(size + sizeof(T));
    std::memcpy(to.data() + size, &value, sizeof(T));
  }

  void append_masked(DenseTile& dense, int64_t block, int64_t tile,
                     std::vector<uint8_t>& to) const {
    const Element element = shape_.element;
    uint16_t starts[2 * kOctets];
    uint32_t masks[kLanes][2] = {};
    // Codes of 4 bits have a stream for each half, which share bytes; else all is one stream.
    std::vector<int32_t> streams[2];
    for (int half = 0; half < 2; ++half) {
      std::vector<int32_t>& stream = streams[element == Element::kCode4 ? half : 0];
      for (int octet = 0; octet < kOctets; ++octet) {
        starts[kOctets * half + octet] = static_cast<uint16_t>(stream.size());
        for (int lane = 0; lane < kLanes; ++lane) {
          // An octet's elements in the sequence in which the kernels expand them.
          for (int i = 0; i < 8; ++i) {
            const bool code = detail::is_code(element);
            const int row = code ? i / 4 : i % 4 / 2;
            const int col = code ? i % 4 : i / 4 * 2 + i % 2;
            const int32_t value = dense.element(lane, half, octet, row, col);
            if (value == 0) continue;
            masks[lane][half] |= 1U << detail::mask_bit(element, octet, row, col);
            stream.push_back(value);
          }
        }
      }
    }
    append(starts, to);
    append_scales(block, tile, to);
    append(masks, to);
    if (element == Element::kCode4) {
      for (size_t i = 0; i < std::max(streams[0].size(), streams[1].size()); ++i) {
        const int32_t low = i < streams[0].size() ? streams[0][i] & 15 : 0;
        const int32_t high = i < streams[1].size() ? streams[1][i] & 15 : 0;
        to.push_back(static_cast<uint8_t>(low | high << 4));
      }
    } else {
      for (const int32_t value : streams[0]) {
        if (element == Element::kCode8) {
          to.push_back(static_cast<uint8_t>(value));
        } else {
          append(static_cast<uint16_t>(value), to);
        }
      }
    }
    to.resize((to.size() + 15) / 16 * 16);
  }

  void append_direct(DenseTile& dense, int64_t block, int64_t tile,
                     std::vector<uint8_t>& to) const {
    const int words = shape_.arrangement == Arrangement::kBalanced ? 4
                      : shape_.element == Element::kCode4          ? 8
                                                                   : 16;
    const size_t begin = to.size();
    to.resize(begin + static_cast<size_t>(words) * kLanes * 4);
    for (int lane = 0; lane < kLanes; ++lane) {
      uint32_t of_lane[16] = {};
      for (int half = 0; half < 2; ++half) {
        int kept[2] = {};  // of each row of a balanced half
        for (int octet = 0; octet < kOctets; ++octet) {
          for (int i = 0; i < 8; ++i) {
            const int row = i / 4;
            const int col = i % 4;
            const int32_t code = dense.element(lane, half, octet, row, col);
            if (words == 16) {
              of_lane[2 * (kOctets * half + octet) + row] |= (code & 255U) << 8 * col;
            } else if (words == 8) {
              of_lane[kOctets * half + octet] |= static_cast<uint32_t>(code + 8)
                                                 << (8 * col + 4 * row);
            } else if (code != 0) {
              const int place = 4 * octet + col;
              of_lane[2 * half] |= 1U << (4 * (place % 8) + 2 * row + place / 8);
              of_lane[2 * half + 1] |= (code & 15U) << (8 * kept[row]++ + 4 * row);
            }
          }
        }
      }
      for (int i = 0; i < words / 4; ++i) {
        std::memcpy(to.data() + begin + static_cast<size_t>(16 * (kLanes * i + lane)),
                    of_lane + 4 * i, 16);
      }
    }
    append_scales(block, tile, to);
  }

  WarpTiles shape_;
  Tensor elements_;
  Tensor scales_;
};

int64_t dense_bytes(const WarpTiles& shape) {
  return shape.blocks() * shape.tiles() *
         (kBlockRows * kWarpCols * detail::bits_of(shape.element) / 8 +
          detail::scales_bytes(shape.groups_per_tile));
}

/// What masked records take at least. @param elements those of the matrix
int64_t least_masked_bytes(const WarpTiles& shape, const Tensor& elements) {
  const int64_t header =
      detail::kStartsBytes + detail::scales_bytes(shape.groups_per_tile) + detail::kMaskBytes;
  return shape.blocks() * shape.tiles() * header +
         elements.count_nonzero().item<int64_t>() * detail::bits_of(shape.element) / 8;
}

/// True if no aligned run of columns keeps too many codes.
bool is_balanced(const Tensor& codes) {
  const int64_t padding =
      (detail::kBalancedRun - codes.size(1) % detail::kBalancedRun) % detail::kBalancedRun;
  const Tensor kept = at::constant_pad_nd(codes.ne(0).to(at::kChar), {0, padding});
  const Tensor of_run = kept.unflatten(1, {-1, detail::kBalancedRun}).sum(-1, false, at::kChar);
  return of_run.max().item<int64_t>() <= detail::kBalancedKept;
}

}  // namespace

WarpTiles WarpRecords::view() const {
  WarpTiles tiles = shape;
  tiles.records = records.const_data_ptr<uint8_t>();
  if (starts.defined()) {
    tiles.starts = reinterpret_cast<const uint32_t*>(starts.const_data_ptr<int32_t>());
  }
  return tiles;
}

std::optional<WarpRecords> pack_for_warps(const Tensor& weight) {
  const bool is_half = weight.scalar_type() == at::kHalf;
  const WarpTiles shape{.element = is_half ? Element::kFloat16 : Element::kBFloat16,
                        .arrangement = Arrangement::kMasked,
                        .rows = weight.size(0),
                        .cols = weight.size(1),
                        .is_half = is_half};
  // A dense model is not packed to find out that it is dense.
  if (least_masked_bytes(shape, weight) >= static_cast<int64_t>(weight.nbytes())) return {};
  WarpRecords packed = Packer(shape, weight.contiguous().view(at::kShort), {}).pack();
  if (packed.records.nbytes() >= weight.nbytes()) return {};
  return packed;
}

std::optional<WarpRecords> pack_for_warps(const QuantizedWeight& weight) {
  const std::optional<WholeCodes> whole = whole_codes(weight, kHalfCols);
  if (!whole) return {};
  WarpTiles shape{.element = whole->bits == 4 ? Element::kCode4 : Element::kCode8,
                  .rows = whole->codes.size(0),
                  .cols = whole->codes.size(1),
                  .is_half = whole->scales.scalar_type() == at::kHalf,
                  .groups_per_tile = static_cast<int>(kWarpCols / whole->group)};
  const Tensor scales = whole->scales.contiguous().view(at::kShort);
  const auto pack_as = [&](Arrangement arrangement) {
    shape.arrangement = arrangement;
    return Packer(shape, whole->codes, scales).pack();
  };
  if (whole->bits == 4 && is_balanced(whole->codes)) return pack_as(Arrangement::kBalanced);
  if (least_masked_bytes(shape, whole->codes) < dense_bytes(shape)) {
    WarpRecords masked = pack_as(Arrangement::kMasked);
    if (static_cast<int64_t>(masked.records.nbytes()) < dense_bytes(shape)) return masked;
  }
  return pack_as(Arrangement::kDense);
}

}  // namespace prune::kernels
