#include "packed_tensor.h"

#include <fmt/format.h>
#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/error.h>
#include <prune/core/set_bits.h>

#include <bit>

#include "bit_stream.h"

namespace prune::checkpoint {
namespace {

int64_t mask_bytes(int64_t count) { return (count + 7) / 8; }

SetBits<uint8_t> kept_in(const Tensor& mask) {
  return {mask.const_data_ptr<uint8_t>(), mask.numel()};
}

/// Calls visit(element, number among the kept ones) for the kept elements, several chunks at once.
template <class Visit>
void for_each_kept(const Tensor& mask, const SetBits<uint8_t>& kept, const Visit& visit) {
  const auto* bytes = mask.const_data_ptr<uint8_t>();
  kept.for_each_chunk([&](int64_t first, int64_t end, int64_t number) {
    for (int64_t i = first; i < end; ++i) {
      for (unsigned left = bytes[i]; left != 0; left &= left - 1) {
        visit(8 * i + std::countr_zero(left), number++);
      }
    }
  });
}

/// @param kept number of bits that are set. @param expected what it should be
void check_kept(const PackedTensor& packed, int64_t count, int64_t kept, int64_t expected) {
  const auto* bytes = packed.mask.const_data_ptr<uint8_t>();
  const bool beyond = count % 8 != 0 && bytes[count / 8] >> (count % 8) != 0;
  if (kept == expected && !beyond) return;
  throw Error(ErrorKind::kInput, fmt::format("mask keeps {} elements{}, {} are stored", kept,
                                             beyond ? ", some beyond its end" : "", expected));
}

template <class Visit>
auto with_element_of(int64_t size_bytes, const Visit& visit) {
  switch (size_bytes) {
    case 2:
      return visit(uint16_t{});
    case 4:
      return visit(uint32_t{});
    default:
      return visit(uint64_t{});
  }
}

// Code `number` of those that BitWriter wrote, wbits <= 8 each.
int code_at(const uint8_t* bytes, int64_t number, int64_t wbits) {
  const int64_t bit = number * wbits;
  const int64_t shift = bit % 8;
  unsigned pending = bytes[bit / 8];
  if (shift + wbits > 8) pending |= static_cast<unsigned>(bytes[bit / 8 + 1]) << 8;
  return static_cast<int>(pending >> shift & ((1U << wbits) - 1));
}

// Expands zero points [rows, groups] to one per code, [rows, cols].
Tensor zero_of_each(const Tensor& zero, int64_t cols) {
  return zero.repeat_interleave(cols / zero.size(1), 1).contiguous();
}

}  // namespace

bool can_pack(at::ScalarType dtype) {
  return dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kFloat ||
         dtype == at::kDouble;
}

PackedTensor pack_elements(const Tensor& value) {
  const int64_t count = value.numel();
  PackedTensor packed{.mask = at::zeros({mask_bytes(count)}, at::kByte),
                      .kept = at::empty({count}, value.options()),
                      .shape = value.sizes().vec()};
  auto* mask = packed.mask.mutable_data_ptr<uint8_t>();
  const int64_t kept = with_element_of(value.element_size(), [&](auto element) {
    const auto* from = static_cast<const decltype(element)*>(value.const_data_ptr());
    auto* to = static_cast<decltype(element)*>(packed.kept.mutable_data_ptr());
    int64_t n = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (from[i] == 0) continue;
      to[n++] = from[i];
      mask[i / 8] = static_cast<uint8_t>(mask[i / 8] | 1U << (i % 8));
    }
    return n;
  });
  packed.kept = packed.kept.slice(0, 0, kept);
  return packed;
}

Tensor unpack_elements(const PackedTensor& packed) {
  Tensor value = at::zeros(packed.shape, packed.kept.options());
  const int64_t count = value.numel();
  const SetBits<uint8_t> kept = kept_in(packed.mask);
  check_kept(packed, count, kept.total(), packed.kept.numel());
  with_element_of(value.element_size(), [&](auto element) {
    const auto* from = static_cast<const decltype(element)*>(packed.kept.const_data_ptr());
    auto* to = static_cast<decltype(element)*>(value.mutable_data_ptr());
    for_each_kept(packed.mask, kept, [&](int64_t i, int64_t number) { to[i] = from[number]; });
  });
  return value;
}

std::optional<Tensor> unpack_zero_points(const Tensor& words, int64_t rows, int64_t cols,
                                         int64_t wbits) {
  const bool fit = words.scalar_type() == at::kInt && words.dim() == 2 &&
                   words.size(0) == (rows * wbits + 31) / 32 && words.size(1) > 0 &&
                   cols % words.size(1) == 0;
  if (!fit) return {};
  return unpack_codes(words.t(), wbits, rows).t();
}

PackedTensor pack_codes_but(const Tensor& zero, const Tensor& codes, int64_t wbits) {
  const Tensor zeros = zero_of_each(zero, codes.size(1));
  const int64_t count = codes.numel();
  PackedTensor packed{.mask = at::zeros({mask_bytes(count)}, at::kByte),
                      .kept = at::empty({mask_bytes(count * wbits)}, at::kByte),
                      .shape = {codes.size(0), codes.size(1), wbits}};
  auto* mask = packed.mask.mutable_data_ptr<uint8_t>();
  const auto* from = codes.const_data_ptr<int8_t>();
  const auto* left_out = zeros.const_data_ptr<int8_t>();
  const int offset = 1 << (wbits - 1);
  BitWriter<uint8_t> bits(packed.kept.mutable_data_ptr<uint8_t>());
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (from[i] == left_out[i]) continue;
    ++kept;
    bits.put(static_cast<uint32_t>(from[i] + offset), static_cast<int>(wbits));
    mask[i / 8] = static_cast<uint8_t>(mask[i / 8] | 1U << (i % 8));
  }
  bits.finish();
  packed.kept = packed.kept.slice(0, 0, mask_bytes(kept * wbits));
  return packed;
}

Tensor unpack_codes_but(const Tensor& zero, const PackedTensor& packed) {
  const int64_t wbits = packed.shape[2];
  Tensor codes = zero_of_each(zero, packed.shape[1]);
  const int64_t count = codes.numel();
  const SetBits<uint8_t> kept = kept_in(packed.mask);
  check_kept(packed, count, kept.total(),
             mask_bytes(kept.total() * wbits) == packed.kept.numel()
                 ? kept.total()
                 : packed.kept.numel() * 8 / wbits);
  auto* to = codes.mutable_data_ptr<int8_t>();
  const int offset = 1 << (wbits - 1);
  const auto* from = packed.kept.const_data_ptr<uint8_t>();
  for_each_kept(packed.mask, kept, [&](int64_t element, int64_t number) {
    to[element] = static_cast<int8_t>(code_at(from, number, wbits) - offset);
  });
  return codes;
}

}  // namespace prune::checkpoint
