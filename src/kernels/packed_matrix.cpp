#include <fmt/format.h>
#include <prune/core/parallel.h>
#include <prune/kernels/product.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include "packed_products.h"
#include "whole_codes.h"

namespace prune::kernels {
namespace {

using detail::Element;
using detail::kBlockRows;
using detail::kTileBytes;

// Rows of a panel that affine() expands at once, at least; its floats should stay in the L2 cache.
constexpr int64_t kPanelElements = 1 << 18;

// Least bytes of a matrix for each thread: starting and joining threads takes as long as reading about so many.
constexpr int64_t kPartBytes = 1 << 16;

// Asks for pages of 2 MB, before the tensor is written: a pass over small pages is up to a third slower.
void prefer_huge_pages(const Tensor& bytes) {
  constexpr uintptr_t kHugePage = 2 << 20;
  const auto begin = reinterpret_cast<uintptr_t>(bytes.const_data_ptr());
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (begin + bytes.nbytes()) / kHugePage * kHugePage;
  // Without them everything works, too.
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
}

int64_t padded(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

Element element_of(int64_t bits, at::ScalarType dtype) {
  if (bits == 4) return Element::kCode4;
  if (bits == 8) return Element::kCode8;
  return dtype == at::kHalf ? Element::kFloat16 : Element::kBFloat16;
}

/// The blocks of a dense matrix as tiles in the order of their mask's bits.
class DenseTiles {
 public:
  /// @param matrix [rows, cols] of elements of 16 bits, or of code + code_offset in bytes; contiguous
  DenseTiles(Element element, const Tensor& matrix, int64_t padded_cols)
      : element_(element),
        matrix_(matrix),
        row_bytes_(matrix.size(1) * matrix.element_size()),
        padded_bytes_(padded_cols * matrix.element_size()) {}

  int64_t tiles() const { return padded_bytes_ / 4; }
  int64_t blocks() const { return (matrix_.size(0) + kBlockRows - 1) / kBlockRows; }

  /// @param to [tiles, kTileBytes]
  void read(int64_t block, uint8_t* to) const {
    // Four bytes of a row, two elements or four codes, lie side by side in a tile.
    const uint8_t none =
        detail::is_code(element_) ? static_cast<uint8_t>(detail::code_offset(element_)) : 0;
    const auto* from = static_cast<const uint8_t*>(matrix_.const_data_ptr());
    std::vector<uint8_t> row(static_cast<size_t>(padded_bytes_), none);
    for (int64_t i = 0; i < kBlockRows; ++i) {
      const int64_t r = block * kBlockRows + i;
      const uint8_t* four = row.data();
      if (r >= matrix_.size(0)) {
        std::fill(row.begin(), row.end(), none);
      } else if (row_bytes_ == padded_bytes_) {
        four = from + r * row_bytes_;
      } else {
        std::memcpy(row.data(), from + r * row_bytes_, static_cast<size_t>(row_bytes_));
      }
      for (int64_t t = 0; t < tiles(); ++t)
        std::memcpy(to + kTileBytes * t + 4 * i, four + 4 * t, 4);
    }
    if (element_ != Element::kFloat16) return;
    // Halves of a vector are converted from float16, but bfloat16 is widened by a shift within each lane.
    for (int64_t t = 0; t < tiles(); ++t) {
      uint16_t by_row[2 * kBlockRows], by_column[2 * kBlockRows];
      std::memcpy(by_row, to + kTileBytes * t, sizeof(by_row));
      for (int64_t i = 0; i < kBlockRows; ++i) {
        for (int64_t j = 0; j < 2; ++j) {
          by_column[i + kBlockRows * j] = by_row[2 * i + j];
        }
      }
      std::memcpy(to + kTileBytes * t, by_column, sizeof(by_column));
    }
  }

 private:
  Element element_;
  Tensor matrix_;
  int64_t row_bytes_;
  int64_t padded_bytes_;
};

/// Two streams of codes in the nibbles of one.
int64_t merge_nibbles(const uint8_t* even, int64_t even_count, const uint8_t* odd,
                      int64_t odd_count, uint8_t* to) {
  const int64_t both = std::min(even_count, odd_count);
  const int64_t size = std::max(even_count, odd_count);
  for (int64_t i = 0; i < both; ++i) to[i] = static_cast<uint8_t>(even[i] | odd[i] << 4);
  for (int64_t i = both; i < size; ++i) {
    to[i] = static_cast<uint8_t>(even_count > odd_count ? even[i] : odd[i] << 4);
  }
  return size;
}

}  // namespace

/// Puts the elements of a weight into tiles.
struct Packer {
  Element element;
  DenseTiles dense;

  int64_t mask_bytes() const { return dense.tiles() * (detail::is_code(element) ? 8 : 4); }
  int64_t dense_bytes() const {
    return dense.tiles() * kTileBytes / (element == Element::kCode4 ? 2 : 1);
  }

  /// What a thread needs to pack blocks, one after the other.
  struct Scratch {
    explicit Scratch(const Packer& packer)
        : tiles(static_cast<size_t>(packer.dense.tiles() * kTileBytes)),
          mask(static_cast<size_t>(packer.mask_bytes())),
          values(tiles.size() + kTileBytes),
          odd_values(values.size()) {}
    std::vector<uint8_t> tiles;
    std::vector<uint8_t> mask;
    std::vector<uint8_t> values;
    // Of codes of 4 bits: those of the tiles with odd numbers, before they are merged.
    std::vector<uint8_t> odd_values;
  };

  /// Fills the scratch's mask and values with a block. @return the bytes of its values
  int64_t pack_block(int64_t block, bool masked, Scratch& scratch) const {
    dense.read(block, scratch.tiles.data());
    uint8_t* next[2] = {scratch.values.data(), scratch.odd_values.data()};
    const bool halves = element == Element::kCode4;
    const int64_t width = mask_bytes() / dense.tiles();
    for (int64_t t = 0; t < dense.tiles(); ++t) {
      uint8_t*& to = next[halves ? t % 2 : 0];
      const uint8_t* tile = scratch.tiles.data() + kTileBytes * t;
      if (!masked) {
        std::memcpy(to, tile, kTileBytes);
        to += kTileBytes;
        continue;
      }
      const uint64_t kept = detail::tile_kernels().compress(element, tile, to);
      to += std::popcount(kept) * (detail::is_code(element) ? 1 : 2);
      std::memcpy(scratch.mask.data() + width * t, &kept, static_cast<size_t>(width));
    }
    const int64_t size = next[0] - scratch.values.data();
    if (!halves) return size;
    return merge_nibbles(scratch.values.data(), size, scratch.odd_values.data(),
                         next[1] - scratch.odd_values.data(), scratch.values.data());
  }

  template <class Visit>
  void for_each_block(bool masked, const Visit& visit) const {
    parallel_for(0, dense.blocks(), 1, [&](int64_t first, int64_t end) {
      Scratch scratch(*this);
      for (int64_t block = first; block < end; ++block) {
        visit(block, pack_block(block, masked, scratch), scratch);
      }
    });
  }

  PackedMatrix pack() const {
    // Blocks are packed twice, for their sizes and to be kept, so that only one copy of a large matrix is in memory.
    std::vector<int64_t> sizes(static_cast<size_t>(dense.blocks()));
    for_each_block(/*masked=*/true, [&](int64_t block, int64_t size, const Scratch&) {
      sizes[static_cast<size_t>(block)] = size;
    });
    const int64_t kept = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    const bool masked = kept + dense.blocks() * mask_bytes() < dense.blocks() * dense_bytes();
    if (!masked) std::ranges::fill(sizes, dense_bytes());
    PackedMatrix packed;
    packed.starts_ = at::empty({dense.blocks()}, at::kLong);
    auto* starts = packed.starts_.mutable_data_ptr<int64_t>();
    std::exclusive_scan(sizes.begin(), sizes.end(), starts, int64_t{0});
    const int64_t total = masked ? kept : dense.blocks() * dense_bytes();
    packed.values_ = at::empty({total + detail::kReadableBytes}, at::kByte);
    prefer_huge_pages(packed.values_);
    auto* values = packed.values_.mutable_data_ptr<uint8_t>();
    std::memset(values + total, 0, detail::kReadableBytes);
    if (masked) packed.mask_ = at::empty({dense.blocks() * mask_bytes()}, at::kByte);
    auto* mask = masked ? packed.mask_.mutable_data_ptr<uint8_t>() : nullptr;
    for_each_block(masked, [&](int64_t block, int64_t size, const Scratch& scratch) {
      std::memcpy(values + starts[block], scratch.values.data(), static_cast<size_t>(size));
      if (masked) {
        std::memcpy(mask + block * mask_bytes(), scratch.mask.data(),
                    static_cast<size_t>(mask_bytes()));
      }
    });
    return packed;
  }
};

detail::Tiles tiles_of(const PackedMatrix& weight) {
  return {.element = element_of(weight.bits_, weight.dtype_),
          .rows = weight.rows_,
          .cols = weight.padded_cols_,
          .mask = weight.mask_.defined() ? weight.mask_.const_data_ptr<uint8_t>() : nullptr,
          .values = weight.values_.const_data_ptr<uint8_t>(),
          .starts = weight.starts_.const_data_ptr<int64_t>(),
          .group = weight.group_,
          .scales_are_half = weight.dtype_ == at::kHalf,
          .scales = weight.scales_.defined()
                        ? static_cast<const uint16_t*>(weight.scales_.const_data_ptr())
                        : nullptr};
}

namespace {

/// The activations of some tokens as the kernels read them.
class PackedActivations {
 public:
  /// @param x [tokens, cols] float32, contiguous
  PackedActivations(const Tensor& x, const detail::Tiles& weight,
                    const detail::TileKernels& kernels) {
    tokens_ = 1;
    while (tokens_ < x.size(0)) tokens_ *= 2;
    columns_ = x;
    if (tokens_ != x.size(0) || weight.cols != x.size(1)) {
      columns_ = at::zeros({tokens_, weight.cols}, x.options());
      columns_.narrow(0, 0, x.size(0)).narrow(1, 0, x.size(1)).copy_(x);
    }
    if (tokens_ > 1) columns_ = columns_.t().contiguous();
    view_.tokens = tokens_;
    view_.x = columns_.const_data_ptr<float>();
    if (detail::is_code(weight.element)) round(weight, kernels);
  }

  const detail::Activations& view() const { return view_; }

 private:
  void round(const detail::Tiles& weight, const detail::TileKernels& kernels) {
    const int64_t four = weight.cols / 4 * tokens_;
    const int64_t groups = weight.groups() * tokens_;
    whole_ = at::empty({2 * four + 2 * groups}, at::kInt);
    steps_ = at::empty({groups}, at::kFloat);
    auto* high = whole_.mutable_data_ptr<int32_t>();
    detail::RoundedActivations to{.high = high,
                                  .low = high + four,
                                  .step = steps_.mutable_data_ptr<float>(),
                                  .high_start = high + 2 * four,
                                  .low_start = high + 2 * four + groups};
    view_.high = to.high;
    view_.low = to.low;
    view_.step = to.step;
    view_.high_start = to.high_start;
    view_.low_start = to.low_start;
    const int offset = detail::code_offset(weight.element);
    for (int64_t group = 0; group < weight.groups(); ++group) {
      kernels.round(view_.x + group * weight.group * tokens_, weight.group, tokens_, offset, to);
      to.high += weight.group / 4 * tokens_;
      to.low += weight.group / 4 * tokens_;
      to.step += tokens_;
      to.high_start += tokens_;
      to.low_start += tokens_;
    }
  }

  int64_t tokens_ = 1;
  Tensor columns_;  // [padded cols, tokens]
  Tensor whole_;
  Tensor steps_;
  detail::Activations view_;
};

}  // namespace

Tensor multiply_few(const PackedMatrix& matrix, const Tensor& x,
                    const detail::TileKernels& kernels) {
  const detail::Tiles weight = tiles_of(matrix);
  const PackedActivations activations(x, weight, kernels);
  const int64_t tokens = activations.view().tokens;
  const int64_t stride = weight.blocks() * kBlockRows;
  const Tensor y = at::empty({tokens, stride}, x.options());
  auto* to = y.mutable_data_ptr<float>();
  const int64_t grain = kPartBytes * weight.blocks() / std::max<int64_t>(matrix.size_bytes(), 1);
  parallel_for(0, weight.blocks(), grain, [&](int64_t first, int64_t end) {
    kernels.multiply(weight, activations.view(), to, stride, first, end);
  });
  if (tokens == x.size(0) && stride == weight.rows) return y;
  return y.narrow(0, 0, x.size(0)).narrow(1, 0, weight.rows);
}

Tensor expand_rows(const PackedMatrix& matrix, int64_t first, int64_t count,
                   const detail::TileKernels& kernels) {
  const detail::Tiles weight = tiles_of(matrix);
  const int64_t cols = matrix.cols();
  const Tensor panel = at::empty({count, cols}, at::kFloat);
  auto* to = panel.mutable_data_ptr<float>();
  const int64_t first_block = first / kBlockRows;
  parallel_for(0, (count + kBlockRows - 1) / kBlockRows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block * kBlockRows;
      kernels.expand(weight, first_block + block, std::min(kBlockRows, count - row), cols,
                     to + row * cols, cols);
    }
  });
  return panel;
}

PackedMatrix PackedMatrix::pack(const Tensor& weight) {
  const Tensor source = weight.contiguous();
  const int64_t padded_cols = padded(source.size(1), detail::kColumnStep);
  const Element element = element_of(16, source.scalar_type());
  PackedMatrix packed = Packer{element, {element, source, padded_cols}}.pack();
  packed.rows_ = source.size(0);
  packed.cols_ = source.size(1);
  packed.padded_cols_ = padded_cols;
  packed.dtype_ = source.scalar_type();
  return packed;
}

std::optional<PackedMatrix> PackedMatrix::pack(const QuantizedWeight& weight) {
  constexpr int64_t kSmallestGroup = 32;
  const std::optional<WholeCodes> whole = whole_codes(weight, kSmallestGroup);
  if (!whole) return {};
  const int64_t rows = whole->codes.size(0);
  const Element element = element_of(whole->bits, at::kByte);
  const Tensor codes = whole->codes.view(at::kByte).add(detail::code_offset(element));
  const int64_t padded_cols = padded(codes.size(1), whole->group);
  PackedMatrix packed = Packer{element, {element, codes, padded_cols}}.pack();
  packed.rows_ = rows;
  packed.cols_ = codes.size(1);
  packed.padded_cols_ = padded_cols;
  packed.bits_ = whole->bits;
  packed.dtype_ = whole->scales.scalar_type();
  packed.group_ = whole->group;
  const int64_t groups = padded_cols / whole->group;
  const int64_t blocks = padded(rows, kBlockRows) / kBlockRows;
  const Tensor all = at::zeros({blocks * kBlockRows, groups}, whole->scales.options());
  all.narrow(0, 0, rows).copy_(whole->scales);
  packed.scales_ = all.view({blocks, kBlockRows, groups}).transpose(1, 2).contiguous();
  return packed;
}

Tensor PackedMatrix::affine(const Tensor& x, const Tensor& bias) const {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = rows_;
  const at::ScalarType dtype = x.scalar_type();
  const Tensor flat = x.reshape({-1, cols_}).contiguous();
  const int64_t tokens = flat.size(0);
  if (tokens <= detail::kMostTokens) {
    Tensor y = multiply_few(*this, flat.to(at::kFloat), detail::tile_kernels());
    if (bias.defined()) y.add_(bias);
    return y.to(dtype).reshape(shape);
  }
  const Tensor y = at::empty({tokens, rows_}, x.options());
  const int64_t panel = padded(std::max<int64_t>(kPanelElements / cols_, kBlockRows), kBlockRows);
  for (int64_t first = 0; first < rows_; first += panel) {
    const int64_t count = std::min(panel, rows_ - first);
    const Tensor part = bias.defined() ? bias.narrow(0, first, count) : bias;
    y.narrow(1, first, count).copy_(kernels::affine(flat, expand(first, count).to(dtype), part));
  }
  return y.view(shape);
}

Tensor PackedMatrix::expand(int64_t first, int64_t count) const {
  return expand_rows(*this, first, count, detail::tile_kernels());
}

int64_t PackedMatrix::size_bytes() const {
  int64_t bytes = 0;
  for (const Tensor* part : {&mask_, &values_, &starts_, &scales_}) {
    if (part->defined()) bytes += static_cast<int64_t>(part->nbytes());
  }
  return bytes;
}

std::string PackedMatrix::form() const {
  return fmt::format("{}{} bits", mask_.defined() ? "mask + " : "", bits_);
}

}  // namespace prune::kernels
