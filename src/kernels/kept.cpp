#include <ATen/Dispatch.h>
#include <prune/core/parallel.h>
#include <prune/core/set_bits.h>
#include <prune/kernels/kept.h>

#include <algorithm>
#include <bit>

namespace prune::kernels {
namespace {

constexpr int64_t kWordBits = 64;
// Words that a thread fills at once, at least.
constexpr int64_t kChunk = 4096;

int64_t words_of(int64_t elements) { return (elements + kWordBits - 1) / kWordBits; }

/// The elements of each bit's word as a bool mask, [elements]; for devices without a kernel of ours.
Tensor mask_of(const Tensor& bits, int64_t elements) {
  const Tensor shifts = at::arange(kWordBits, bits.options());
  return bits.unsqueeze(1).bitwise_right_shift(shifts).bitwise_and_(1).ne(0).flatten().narrow(
      0, 0, elements);
}

const uint64_t* words_in(const Tensor& bits) {
  return reinterpret_cast<const uint64_t*>(bits.const_data_ptr<int64_t>());
}

SetBits<uint64_t> set_bits(const Tensor& bits) { return {words_in(bits), bits.numel()}; }

}  // namespace

Tensor kept_bits(const Tensor& weight) {
  const int64_t elements = weight.numel();
  const Tensor kept = weight.ne(0).flatten();
  Tensor bits = at::zeros({words_of(elements)}, weight.options().dtype(at::kLong));
  if (weight.is_cuda()) {
    Tensor padded = at::zeros({bits.numel() * kWordBits}, bits.options());
    padded.narrow(0, 0, elements).copy_(kept);
    const Tensor shifts = at::arange(kWordBits, bits.options());
    return padded.view({-1, kWordBits}).bitwise_left_shift(shifts).sum(1);
  }
  const bool* from = kept.const_data_ptr<bool>();
  auto* words = reinterpret_cast<uint64_t*>(bits.mutable_data_ptr<int64_t>());
  parallel_for(0, bits.numel(), kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      const int64_t in_word = std::min(kWordBits, elements - w * kWordBits);
      for (int64_t i = 0; i < in_word; ++i) {
        words[w] |= static_cast<uint64_t>(from[w * kWordBits + i]) << i;
      }
    }
  });
  return bits;
}

int64_t count_kept(const Tensor& bits) {
  if (bits.is_cuda()) return mask_of(bits, bits.numel() * kWordBits).sum().item<int64_t>();
  return set_bits(bits).total();
}

Tensor gather_kept(const Tensor& bits, const Tensor& dense) {
  const Tensor source = dense.contiguous();
  if (source.is_cuda()) {
    return source.flatten().masked_select(mask_of(bits, source.numel())).to(at::kFloat);
  }
  const uint64_t* words = words_in(bits);
  const SetBits<uint64_t> set = set_bits(bits);
  Tensor kept = at::empty({set.total()}, source.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, source.scalar_type(), "gather", [&] {
    const auto* from = source.const_data_ptr<scalar_t>();
    auto* to = kept.mutable_data_ptr<scalar_t>();
    set.for_each_chunk([&](int64_t first, int64_t end, int64_t next) {
      for (int64_t w = first; w < end; ++w) {
        for (uint64_t left = words[w]; left != 0; left &= left - 1) {
          to[next++] = from[w * kWordBits + std::countr_zero(left)];
        }
      }
    });
  });
  return kept.to(at::kFloat);
}

Tensor scatter_kept(const Tensor& bits, const Tensor& kept, at::IntArrayRef shape,
                    at::ScalarType dtype) {
  Tensor dense = at::empty(shape, kept.options().dtype(dtype));
  const int64_t elements = dense.numel();
  if (kept.is_cuda()) {
    dense.zero_().view(-1).masked_scatter_(mask_of(bits, elements), kept.to(dtype));
    return dense;
  }
  const Tensor source = kept.to(dtype);
  const uint64_t* words = words_in(bits);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "scatter", [&] {
    const auto* from = source.const_data_ptr<scalar_t>();
    auto* to = dense.mutable_data_ptr<scalar_t>();
    set_bits(bits).for_each_chunk([&](int64_t first, int64_t end, int64_t next) {
      for (int64_t w = first; w < end; ++w) {
        scalar_t* const word = to + w * kWordBits;
        std::fill(word, word + std::min(kWordBits, elements - w * kWordBits), scalar_t(0));
        for (uint64_t left = words[w]; left != 0; left &= left - 1) {
          word[std::countr_zero(left)] = from[next++];
        }
      }
    });
  });
  return dense;
}

}  // namespace prune::kernels
