#include <prune/core/parallel.h>
#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/kernels/packed_matrix.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "packed_products.h"

namespace prune::kernels {
namespace {

using detail::Element;
using detail::kBlockRows;

// Rows of a panel that affine() expands at once, at least; its floats should stay in the L2 cache.
constexpr int64_t kPanelElements = 1 << 18;

// -0 of 16 bits. It adds nothing to a product, so it need not be kept.
constexpr uint16_t kNegativeZero = 0x8000;

int64_t padded(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

Element element_of(int64_t bits, at::ScalarType dtype) {
  if (bits == 4) return Element::kCode4;
  if (bits == 8) return Element::kCode8;
  return dtype == at::kHalf ? Element::kFloat16 : Element::kBFloat16;
}

int64_t bits_of(Element element) {
  if (element == Element::kCode4) return 4;
  return element == Element::kCode8 ? 8 : 16;
}

/// Where to write the elements of one block.
class BlockWriter {
 public:
  BlockWriter(Element element, uint8_t* values) : element_(element), values_(values) {}

  /// @param t the tile, in their sequence. @param bits of the element, or code + code_offset
  void put(int64_t t, uint16_t bits) {
    switch (element_) {
      case Element::kCode4: {
        const auto stream = static_cast<size_t>(t % 2);
        uint8_t& byte = values_[written_[stream]++];
        byte = static_cast<uint8_t>(byte | bits << (4 * stream));
        break;
      }
      case Element::kCode8:
        values_[written_[0]++] = static_cast<uint8_t>(bits);
        break;
      default:
        std::memcpy(values_ + 2 * written_[0]++, &bits, sizeof(bits));
    }
  }

 private:
  Element element_;
  uint8_t* values_;
  std::array<int64_t, 2> written_ = {0, 0};  // of codes of 4 bits: in each of the two streams
};

}  // namespace

/// Puts the elements of a weight into tiles.
struct Packer {
  Element element;
  int64_t rows, cols, padded_cols;
  uint16_t none;  // what may be left out

  int64_t blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
  int64_t tiles() const { return padded_cols / detail::tile_cols(element); }

  /// Calls visit(tile, bit, bits) for the elements of a block within the matrix, in the order in which they are stored.
  template <class At, class Visit>
  void visit_block(int64_t block, const At& at, const Visit& visit) const {
    const int64_t width = detail::tile_cols(element);
    const int64_t height = std::min(kBlockRows, rows - block * kBlockRows);
    for (int64_t t = 0; t < tiles(); ++t) {
      for (int64_t bit = 0; bit < kBlockRows * width; ++bit) {
        const bool by_column = element == Element::kFloat16;
        const int64_t i = by_column ? bit % kBlockRows : bit / width;
        const int64_t col = t * width + (by_column ? bit / kBlockRows : bit % width);
        const bool within = i < height && col < cols;
        visit(t, bit, within ? at(block * kBlockRows + i, col) : none);
      }
    }
  }

  template <class At>
  PackedMatrix pack(const At& at) const {
    // Bytes of each block's values with and without the elements that may be left out.
    const int64_t whole_bytes = tiles() * kBlockRows * detail::tile_cols(element) * bits_of(element) / 8;
    std::vector<int64_t> kept_bytes(static_cast<size_t>(blocks()));
    parallel_for(0, blocks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t block = first; block < end; ++block) {
        std::array<int64_t, 2> kept = {0, 0};
        visit_block(block, at, [&](int64_t t, int64_t, uint16_t bits) {
          kept[static_cast<size_t>(t % 2)] += bits != none ? 1 : 0;
        });
        kept_bytes[static_cast<size_t>(block)] =
            element == Element::kCode4 ? std::max(kept[0], kept[1])
                                       : (kept[0] + kept[1]) * bits_of(element) / 8;
      }
    });
    const int64_t mask_bytes = tiles() * blocks() * (detail::is_code(element) ? 8 : 4);
    int64_t all_kept = mask_bytes;
    for (const int64_t bytes : kept_bytes) all_kept += bytes;
    const bool masked = all_kept < whole_bytes * blocks();

    PackedMatrix packed;
    packed.rows_ = rows;
    packed.cols_ = cols;
    packed.padded_cols_ = padded_cols;
    packed.bits_ = bits_of(element);
    packed.starts_ = at::empty({blocks()}, at::kLong);
    auto* starts = packed.starts_.template mutable_data_ptr<int64_t>();
    int64_t total = 0;
    for (int64_t block = 0; block < blocks(); ++block) {
      starts[block] = total;
      total += masked ? kept_bytes[static_cast<size_t>(block)] : whole_bytes;
    }
    packed.values_ = at::zeros({total + detail::kReadableBytes}, at::kByte);
    if (masked) packed.mask_ = at::zeros({mask_bytes}, at::kByte);
    auto* values = packed.values_.template mutable_data_ptr<uint8_t>();
    auto* mask = masked ? packed.mask_.template mutable_data_ptr<uint8_t>() : nullptr;
    parallel_for(0, blocks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t block = first; block < end; ++block) {
        BlockWriter writer(element, values + starts[block]);
        uint8_t* to = mask;
        if (masked) to += block * (mask_bytes / blocks());
        visit_block(block, at, [&](int64_t t, int64_t bit, uint16_t bits) {
          if (masked && bits == none) return;
          writer.put(t, bits);
          if (!masked) return;
          const int64_t place = t * kBlockRows * detail::tile_cols(element) + bit;
          to[place / 8] = static_cast<uint8_t>(to[place / 8] | 1U << (place % 8));
        });
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
  const int64_t stride = weight.blocks() * kBlockRows;
  const Tensor y = at::empty({activations.view().tokens, stride}, x.options());
  auto* to = y.mutable_data_ptr<float>();
  parallel_for(0, weight.blocks(), 1, [&](int64_t first, int64_t end) {
    kernels.multiply(weight, activations.view(), to, stride, first, end);
  });
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
  const auto* from = static_cast<const uint16_t*>(source.const_data_ptr());
  const int64_t cols = source.size(1);
  const Packer packer{.element = element_of(16, source.scalar_type()),
                      .rows = source.size(0),
                      .cols = cols,
                      .padded_cols = padded(cols, detail::kColumnStep),
                      .none = 0};
  PackedMatrix packed = packer.pack([from, cols](int64_t row, int64_t col) {
    const uint16_t bits = from[row * cols + col];
    return bits == kNegativeZero ? uint16_t{0} : bits;
  });
  packed.dtype_ = source.scalar_type();
  return packed;
}

std::optional<PackedMatrix> PackedMatrix::pack(const QuantizedWeight& weight) {
  const int64_t rows = weight.codes.size(0);
  const int64_t cols = weight.codes.size(1);
  const int64_t given_group = cols / weight.scale.size(1);
  if (weight.scale.element_size() != 2) return {};
  // A scale for the whole row is stored several times; activations are rounded in groups of 128 columns.
  const bool by_row = weight.scale.size(1) == 1;
  int64_t group = 128;
  while (!by_row && given_group % group != 0) group /= 2;
  if (group < 32) return {};
  const Tensor zero = weight.zero.repeat_interleave(given_group, 1).to(at::kShort);
  const Tensor codes = weight.codes.to(at::kShort).sub_(zero).contiguous();
  const auto [low, high] = at::aminmax(codes);
  const auto least = low.item<int64_t>();
  const auto largest = high.item<int64_t>();
  if (least < -128 || largest > 127) return {};
  const int64_t bits = least < -8 || largest > 7 ? 8 : 4;
  const Element element = element_of(bits, at::kByte);
  const int offset = detail::code_offset(element);
  const auto* from = codes.const_data_ptr<int16_t>();
  const Packer packer{.element = element,
                      .rows = rows,
                      .cols = cols,
                      .padded_cols = padded(cols, group),
                      .none = static_cast<uint16_t>(offset)};
  PackedMatrix packed = packer.pack([from, cols, offset](int64_t row, int64_t col) {
    return static_cast<uint16_t>(from[row * cols + col] + offset);
  });
  packed.dtype_ = weight.scale.scalar_type();
  packed.group_ = group;
  const int64_t groups = packed.padded_cols_ / group;
  const int64_t blocks = packer.blocks();
  Tensor scales = by_row ? weight.scale.expand({rows, groups})
                         : weight.scale.repeat_interleave(given_group / group, 1);
  Tensor all = at::zeros({blocks * kBlockRows, groups}, scales.options());
  all.narrow(0, 0, rows).copy_(scales);
  packed.scales_ = all.view({blocks, kBlockRows, groups}).transpose(1, 2).contiguous();
  return packed;
}

Tensor PackedMatrix::affine(const Tensor& x, const Tensor& bias) const {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = rows_;
  const Tensor flat = x.reshape({-1, cols_}).contiguous();
  const int64_t tokens = flat.size(0);
  Tensor y;
  if (tokens <= detail::kMostTokens) {
    y = multiply_few(*this, flat, detail::tile_kernels());
    if (bias.defined()) y = y + bias;
    return y.reshape(shape);
  }
  y = at::empty({tokens, rows_}, x.options());
  const int64_t panel = padded(std::max<int64_t>(kPanelElements / cols_, kBlockRows), kBlockRows);
  for (int64_t first = 0; first < rows_; first += panel) {
    const int64_t count = std::min(panel, rows_ - first);
    const Tensor part = bias.defined() ? bias.narrow(0, first, count) : bias;
    y.narrow(1, first, count).copy_(kernels::affine(flat, expand(first, count), part));
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
