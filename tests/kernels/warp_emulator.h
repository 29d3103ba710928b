#pragma once

#include <ATen/ATen.h>

#include <bit>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "fibre_emulator.h"

// The host's twins of src/kernels/warp_instructions.cuh and of the CUDA functions that go with them. The places of an
// mma's operands in the lanes' registers are those of the PTX manual, "Matrix Fragments for mma.m16n8k16" and "k32".
#define PRUNE_EMULATES_WARPS

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) int4 {
  int32_t x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};

inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline int __popc(uint32_t bits) { return std::popcount(bits); }
inline float __int_as_float(int32_t bits) { return std::bit_cast<float>(bits); }
inline int32_t __float2int_rn(float value) {
  // As the device converts a NaN.
  return std::isnan(value) ? 0 : static_cast<int32_t>(std::nearbyint(value));
}
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift) {
  return static_cast<uint32_t>((uint64_t{high} << 32 | low) >> (shift & 31));
}
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
using std::isnan;

namespace prune::kernels::detail {

struct Fragment {
  uint32_t at[4];
};

inline uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = selector >> 4 * i & 15;
    auto byte = static_cast<uint32_t>(bytes >> 8 * (nibble & 7)) & 255;
    if ((nibble & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << 8 * i;
  }
  return result;
}

/// What a lane gives to an mma.
struct Operands {
  Fragment a;
  uint32_t b[2];
};

/// sum += a b. k elements of `bits` bits, of which `left` and `right` read one.
template <class Sum, class Left, class Right>
void multiply_emulated(Sum (&sum)[4], const Fragment& a, uint32_t b0, uint32_t b1, int bits,
                       const Left& left, const Right& right) {
  using test::fibre::Cta;
  const auto& slots = Cta::current().exchange(Operands{a, {b0, b1}});
  Operands lanes[32];
  for (int lane = 0; lane < 32; ++lane) lanes[lane] = Cta::read<Operands>(slots, lane);
  const int lane = Cta::current().lane();
  const int each = 32 / bits;  // elements of a register
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8;
    const int col = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 8 * each; ++k) {
      const int half = k / (4 * each);
      const int of_half = k % (4 * each);
      const int shift = bits * (of_half % each);
      const uint32_t x = lanes[row % 8 * 4 + of_half / each].a.at[row / 8 + 2 * half] >> shift;
      const uint32_t y = lanes[col * 4 + of_half / each].b[half] >> shift;
      sum[i] += left(x) * right(y);
    }
  }
}

inline float bfloat16_of(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
inline float float16_of(uint32_t bits) {
  return static_cast<float>(c10::Half(static_cast<uint16_t>(bits), c10::Half::from_bits()));
}

inline void multiply_bfloat16(float (&sum)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  multiply_emulated(sum, a, b0, b1, 16, bfloat16_of, bfloat16_of);
}
inline void multiply_float16(float (&sum)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  multiply_emulated(sum, a, b0, b1, 16, float16_of, float16_of);
}

inline int32_t signed_byte(uint32_t bits) { return static_cast<int8_t>(bits); }
inline int32_t unsigned_byte(uint32_t bits) { return static_cast<uint8_t>(bits); }

inline void multiply_unsigned(int32_t (&sum)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  multiply_emulated(sum, a, b0, b1, 8, unsigned_byte, signed_byte);
}
inline void multiply_signed(int32_t (&sum)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  multiply_emulated(sum, a, b0, b1, 8, signed_byte, signed_byte);
}

inline float value_of_16_bits(uint16_t bits, bool is_half) {
  return is_half ? float16_of(bits) : bfloat16_of(bits);
}
inline uint16_t round_to_16_bits(float value, bool is_half) {
  return is_half ? c10::Half(value).x : c10::BFloat16(value).x;
}

/// Copies that have been started, by thread. They happen when they are waited for, no earlier.
class Copies {
 public:
  using Group = std::vector<std::pair<uint8_t*, const uint8_t*>>;
  struct OfThread {
    Group open;
    std::deque<Group> groups;
  };
  static OfThread& mine() {
    // A CTA's threads start without copies of the CTA before.
    static std::map<int, std::pair<unsigned, OfThread>> all;
    auto& [cta, copies] = all[test::fibre::Cta::current().thread()];
    if (std::exchange(cta, blockIdx.x) != blockIdx.x) copies = {};
    return copies;
  }
};

inline void start_copy(uint8_t* shared, const uint8_t* global) {
  Copies::mine().open.emplace_back(shared, global);
}
inline void commit_copies() {
  Copies::OfThread& mine = Copies::mine();
  mine.groups.push_back(std::exchange(mine.open, {}));
}
template <int kPending>
void wait_for_copies() {
  auto& groups = Copies::mine().groups;
  while (groups.size() > kPending) {
    for (const auto& [to, from] : groups.front()) std::memcpy(to, from, 16);
    groups.pop_front();
  }
}

}  // namespace prune::kernels::detail
