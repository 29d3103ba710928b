#pragma once

#include <prune/core/shared_memory.cuh>
#include <type_traits>

#include "rounding_step.h"
#include "warp_tiles.h"
#ifndef PRUNE_EMULATES_WARPS
#include "warp_instructions.cuh"
#endif

// Device code of products with packed matrices (src/kernels/README.md, "On a GPU"). tests/kernels/warp_kernels_test.cpp
// runs it on the host. The names of fragments and their places are those of PTX's mma.m16n8k16 and m16n8k32.
namespace prune::kernels::detail {
namespace {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffU;
/// Warps of a CTA. They share a block of rows and divide its tiles among them.
constexpr int kWarps = 8;
constexpr int kThreads = kWarp * kWarps;
/// Bytes behind a record in shared memory, which windows may touch.
constexpr int kSlack = 16;

// ---------------------------------------------------------------------------------------------------
// From records to fragments

/// The sum of `value` over the lanes before this one. Bytes do not carry into each other as long as each one's sum fits.
__device__ inline uint32_t sum_before(uint32_t value, int lane) {
  uint32_t sum = value;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const uint32_t left = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += left;
  }
  return sum - value;
}

/// Eight bytes from any place.
struct Window {
  uint32_t low;
  uint32_t high;
};

/// @param bytes aligned to 4. @param bits by which the bytes are shifted down, 0 or 4
__device__ inline Window read_window(const uint8_t* bytes, uint32_t at, uint32_t bits) {
  const auto* words = reinterpret_cast<const uint32_t*>(bytes + at / 4 * 4);
  const uint32_t shift = at % 4 * 8 + bits;
  return {__funnelshift_r(words[0], words[1], shift), __funnelshift_r(words[1], words[2], shift)};
}

constexpr uint32_t kLowNibbles = 0x0f0f0f0fU;
constexpr uint32_t kCode4Offsets = 0x08080808U;

/// Selectors for select_bytes() that put the n-th byte in the place of the n-th bit that is set: bit 4 i of `kept`
/// belongs to byte i of eight. Each nibble counts the bits before its own; that of a bit that is not set has bit 3 set, too.
__device__ inline uint32_t selector_of_bytes(uint32_t kept) {
  return kept * 0x11111108U + 0x88888888U;
}

/// An octet of codes of 4 bits, as code + 8. @param kept its bits, 4 apart
__device__ inline void expand_codes4(const Window& nibbles, uint32_t kept, uint32_t& row,
                                     uint32_t& row_8) {
  // The bytes are below 128, so that the sign of any of them is 0.
  const uint32_t selector = selector_of_bytes(kept);
  const uint32_t low = nibbles.low & kLowNibbles;
  const uint32_t high = nibbles.high & kLowNibbles;
  row = select_bytes(low, high, selector) ^ kCode4Offsets;
  row_8 = select_bytes(low, high, selector >> 16) ^ kCode4Offsets;
}

__device__ inline void expand_codes8(const Window& codes, uint32_t kept, uint32_t& row,
                                     uint32_t& row_8) {
  const uint32_t selector = kept * 0x11111110U;
  // Nibble i names the sign of byte 0, which is 0, or of byte 1, which is 0xff.
  const uint32_t masks = kept | 0x88888888U;
  constexpr uint32_t kSigns = 0x00008000U;
  row = select_bytes(codes.low, codes.high, selector) & select_bytes(kSigns, 0, masks);
  row_8 =
      select_bytes(codes.low, codes.high, selector >> 16) & select_bytes(kSigns, 0, masks >> 16);
}

/// Four elements of 16 bits: two of each row. @param kept their bits, 8 apart
__device__ inline void expand_elements(const Window& elements, uint32_t kept, uint32_t& row,
                                       uint32_t& row_8) {
  // Byte i holds two nibbles: the first and the second byte of element i.
  const uint32_t selector = kept * 0x22222200U + 0x10101010U;
  const uint32_t bytes = kept * 0xffU;
  row = select_bytes(elements.low, elements.high, selector) & select_bytes(bytes, 0, 0x1100U);
  row_8 =
      select_bytes(elements.low, elements.high, selector >> 16) & select_bytes(bytes, 0, 0x3322U);
}

/// The bits of an octet in its half's mask.
template <Element kElement>
__device__ uint32_t octet_of(uint32_t mask, int octet) {
  return is_code(kElement) ? mask >> octet & 0x11111111U : mask >> 2 * octet & 0x03030303U;
}

/// Calls visit(half, step, fragment) for the fragments of a masked record: four of each half, one for an octet, or two
/// for codes.
template <Element kElement, int kGroups, class Visit>
__device__ void visit_masked(const uint8_t* record, int lane, const Visit& visit) {
  const auto* starts = reinterpret_cast<const uint16_t*>(record);
  const uint8_t* masks = record + kStartsBytes + scales_bytes(kGroups);
  const uint8_t* values = masks + kMaskBytes;
  uint32_t mask[2];
  uint32_t before[2];  // elements of the lanes before this one, a byte for each octet
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    mask[half] = reinterpret_cast<const uint32_t*>(masks)[2 * lane + half];
    uint32_t counts = 0;
#pragma unroll
    for (int j = 0; j < kOctets; ++j) {
      counts += static_cast<uint32_t>(__popc(octet_of<kElement>(mask[half], j))) << 8 * j;
    }
    before[half] = sum_before(counts, lane);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Fragment fragment{};
#pragma unroll
    for (int j = 0; j < kOctets; ++j) {
      const uint32_t kept = octet_of<kElement>(mask[half], j);
      const uint32_t at = starts[kOctets * half + j] + (before[half] >> 8 * j & 0xffU);
      if constexpr (!is_code(kElement)) {
        const uint32_t first = kept & 0x01010101U;
        expand_elements(read_window(values, 2 * at, 0), first, fragment.at[0], fragment.at[1]);
        const uint32_t next = at + static_cast<uint32_t>(__popc(first));
        expand_elements(read_window(values, 2 * next, 0), kept >> 1 & 0x01010101U, fragment.at[2],
                        fragment.at[3]);
        visit(half, j, fragment);
      } else {
        uint32_t& row = fragment.at[j % 2 * 2];
        uint32_t& row_8 = fragment.at[j % 2 * 2 + 1];
        if constexpr (kElement == Element::kCode4) {
          // The first half's codes are in the low nibbles, the second half's in the high ones.
          expand_codes4(read_window(values, at, half == 0 ? 0 : 4), kept, row, row_8);
        } else {
          expand_codes8(read_window(values, at, 0), kept, row, row_8);
        }
        if (j % 2 == 1) visit(half, j / 2, fragment);
      }
    }
  }
}

/// Words of a lane in a record without starts.
template <Element kElement, Arrangement kArrangement>
constexpr int kDirectWords = kArrangement == Arrangement::kBalanced ? 4
                             : kElement == Element::kCode4          ? 8
                                                                    : 16;

template <int kWords, int kGroups>
constexpr int kDirectBytes = 4 * kWarp* kWords + scales_bytes(kGroups);

/// What a lane reads of such a record: its words, and the scales of its two rows for each half.
template <int kWords>
struct DirectTile {
  uint4 quads[kWords / 4];
  uint32_t scales[2];

  __device__ uint32_t word(int i) const {
    const uint4& quad = quads[i / 4];
    return i % 4 == 0 ? quad.x : i % 4 == 1 ? quad.y : i % 4 == 2 ? quad.z : quad.w;
  }
};

/// As visit_masked(), for codes without starts.
template <Element kElement, Arrangement kArrangement, int kWords, class Visit>
__device__ void visit_direct(const DirectTile<kWords>& tile, const Visit& visit) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Fragment fragments[2];
    if constexpr (kArrangement == Arrangement::kBalanced) {
      // Bits 4 i of the mask >> 2 r + c: row r, column 8 c + i of the run. Nibble i of row r: its i-th kept code.
      const uint32_t mask = tile.word(2 * half);
      const uint32_t codes = tile.word(2 * half + 1);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const uint32_t nibbles = codes >> 4 * row & kLowNibbles;
        const uint32_t first = mask >> 2 * row & 0x11111111U;
        const uint32_t second = mask >> (2 * row + 1) & 0x11111111U;
        const uint32_t first_selector = selector_of_bytes(first);
        const uint32_t second_selector =
            selector_of_bytes(second) + static_cast<uint32_t>(__popc(first)) * 0x11111111U;
        fragments[0].at[row] = select_bytes(nibbles, 0, first_selector) ^ kCode4Offsets;
        fragments[0].at[2 + row] = select_bytes(nibbles, 0, first_selector >> 16) ^ kCode4Offsets;
        fragments[1].at[row] = select_bytes(nibbles, 0, second_selector) ^ kCode4Offsets;
        fragments[1].at[2 + row] = select_bytes(nibbles, 0, second_selector >> 16) ^ kCode4Offsets;
      }
    } else {
#pragma unroll
      for (int j = 0; j < kOctets; ++j) {
        uint32_t& row = fragments[j / 2].at[j % 2 * 2];
        uint32_t& row_8 = fragments[j / 2].at[j % 2 * 2 + 1];
        if constexpr (kElement == Element::kCode4) {
          const uint32_t codes = tile.word(kOctets * half + j);
          row = codes & kLowNibbles;
          row_8 = codes >> 4 & kLowNibbles;
        } else {
          row = tile.word(2 * (kOctets * half + j));
          row_8 = tile.word(2 * (kOctets * half + j) + 1);
        }
      }
    }
    visit(half, 0, fragments[0]);
    visit(half, 1, fragments[1]);
  }
}

template <int kWords, int kGroups>
__device__ DirectTile<kWords> load_direct(const uint8_t* record, int lane) {
  DirectTile<kWords> tile;
#pragma unroll
  for (int i = 0; i < kWords / 4; ++i) {
    tile.quads[i] = __ldcs(reinterpret_cast<const uint4*>(record) + kWarp * i + lane);
  }
  const auto* scales = reinterpret_cast<const uint32_t*>(record + 4 * kWarp * kWords) + lane / 4;
  tile.scales[0] = __ldcs(scales);
  tile.scales[1] = kGroups == 2 ? __ldcs(scales + 8) : tile.scales[0];
  return tile;
}

// ---------------------------------------------------------------------------------------------------
// Sums of one lane: rows g and g + 8, tokens 2 t and 2 t + 1

/// Products of elements of 16 bits.
template <Element kElement>
class ElementSums {
 public:
  /// @param tile the first of the warp's share
  __device__ ElementSums(const WarpProduct& job, int64_t tile, int lane) {
    const int token = lane / 4;
    live_ = token < static_cast<int>(job.tokens);
    const int64_t first = (live_ ? token : 0) * job.weight.padded_cols() + tile * kWarpCols;
    x_ = reinterpret_cast<const uint4*>(job.x + first) + 2 * (lane % 4);
  }

  /// Reads the activations that meet the next tile.
  __device__ void load() {
    if (!live_) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) tile_x_[i] = __ldg(x_ + i / 2 * (kHalfCols / 8) + i % 2);
    x_ += kWarpCols / 8;
  }

  /// @param record in shared memory
  __device__ void add(const uint8_t* record, int lane) {
    visit_masked<kElement, 0>(record, lane, [&](int half, int step, const Fragment& fragment) {
      const uint4& x = tile_x_[2 * half + step / 2];
      const uint32_t b0 = step % 2 == 0 ? x.x : x.z;
      const uint32_t b1 = step % 2 == 0 ? x.y : x.w;
      if constexpr (kElement == Element::kFloat16) {
        multiply_float16(sums, fragment, b0, b1);
      } else {
        multiply_bfloat16(sums, fragment, b0, b1);
      }
    });
  }

  float sums[4] = {0.0F, 0.0F, 0.0F, 0.0F};

 private:
  bool live_;
  const uint4* x_;
  uint4 tile_x_[4] = {};
};

/// Products of codes with rounded activations.
template <Element kElement, int kGroups>
class CodeSums {
 public:
  __device__ CodeSums(const WarpProduct& job, int64_t tile, int lane) {
    const int token = lane / 4;
    live_ = token < static_cast<int>(job.tokens);
    const int64_t first = (live_ ? token : 0) * job.weight.padded_cols() + tile * kWarpCols;
    high_ = reinterpret_cast<const uint4*>(job.high + first) + lane % 4;
    low_ = reinterpret_cast<const uint4*>(job.low + first) + lane % 4;
    group_ =
        reinterpret_cast<const int4*>(job.group) + tile * kGroups * kMostTokens + 2 * (lane % 4);
    is_half_ = job.weight.is_half;
  }

  __device__ void load() {
    if (live_) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        tile_high_[half] = __ldg(high_ + half * (kHalfCols / 16));
        tile_low_[half] = __ldg(low_ + half * (kHalfCols / 16));
      }
    }
    high_ += kWarpCols / 16;
    low_ += kWarpCols / 16;
#pragma unroll
    for (int i = 0; i < 2 * kGroups; ++i) {
      tile_group_[i] = __ldg(group_ + i / 2 * kMostTokens + i % 2);
    }
    group_ += kGroups * kMostTokens;
  }

  /// @param record in shared memory
  __device__ void add(const uint8_t* record, int lane) {
    const auto* scales = reinterpret_cast<const uint32_t*>(record + kStartsBytes) + lane / 4;
    const uint32_t pairs[2] = {scales[0], scales[8 * (kGroups - 1)]};
    visit_masked<kElement, kGroups>(record, lane,
                                    [&](int half, int step, const Fragment& fragment) {
                                      multiply(half, step, fragment, pairs);
                                    });
  }

  template <Arrangement kArrangement, int kWords>
  __device__ void add(const DirectTile<kWords>& tile) {
    visit_direct<kElement, kArrangement>(tile, [&](int half, int step, const Fragment& fragment) {
      multiply(half, step, fragment, tile.scales);
    });
  }

  float sums[4] = {0.0F, 0.0F, 0.0F, 0.0F};

 private:
  __device__ void multiply(int half, int step, const Fragment& fragment,
                           const uint32_t (&scales)[2]) {
    const int4* const tokens = tile_group_ + 2 * half * (kGroups - 1);
    // A group is a half or the whole tile.
    const bool whole = kGroups == 1;
    if (step == 0 && (half == 0 || !whole)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        high_sums_[i] = tokens[i % 2].y;
        low_sums_[i] = tokens[i % 2].z;
      }
    }
    const uint4& high = tile_high_[half];
    const uint4& low = tile_low_[half];
    const uint32_t b[4] = {step == 0 ? high.x : high.z, step == 0 ? high.y : high.w,
                           step == 0 ? low.x : low.z, step == 0 ? low.y : low.w};
    if constexpr (kElement == Element::kCode4) {
      multiply_unsigned(high_sums_, fragment, b[0], b[1]);
      multiply_unsigned(low_sums_, fragment, b[2], b[3]);
    } else {
      multiply_signed(high_sums_, fragment, b[0], b[1]);
      multiply_signed(low_sums_, fragment, b[2], b[3]);
    }
    if (step == 0 || (half == 0 && whole)) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto bits = static_cast<uint16_t>(scales[half] >> 16 * (i / 2));
      const float scale = value_of_16_bits(bits, is_half_) * __int_as_float(tokens[i % 2].x);
      sums[i] = fmaf(static_cast<float>(256 * high_sums_[i] + low_sums_[i]), scale, sums[i]);
    }
  }

  bool live_;
  bool is_half_;
  const uint4* high_;
  const uint4* low_;
  const int4* group_;
  uint4 tile_high_[2] = {};
  uint4 tile_low_[2] = {};
  int4 tile_group_[2 * kGroups];
  int32_t high_sums_[4];
  int32_t low_sums_[4];
};

/// Shared memory of store_products().
constexpr int64_t kPartsBytes = sizeof(float) * kWarps * 4 * kWarp;

/// Adds the warps' sums, in the order of the warps, and stores the block's products.
__device__ inline void store_products(const WarpProduct& job, const float (&sums)[4]) {
  PRUNE_SHARED_ARRAY(float, parts, kWarps * 4 * kWarp);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < 4; ++i) parts[(4 * warp + i) * kWarp + lane] = sums[i];
  __syncthreads();
  if (warp >= 4) return;
  const int64_t row = int64_t{blockIdx.x} * kBlockRows + lane / 4 + warp / 2 * 8;
  const int64_t token = 2 * (lane % 4) + warp % 2;
  if (row >= job.weight.rows || token >= job.tokens) return;
  float sum = 0.0F;
  for (int i = 0; i < kWarps; ++i) sum += parts[(4 * i + warp) * kWarp + lane];
  const bool is_half = job.weight.is_half;
  if (job.bias != nullptr) sum += value_of_16_bits(job.bias[row], is_half);
  job.y[token * job.weight.rows + row] = round_to_16_bits(sum, is_half);
}

// ---------------------------------------------------------------------------------------------------
// Kernels. CTA i multiplies block i.

/// A warp's share of the tiles of a block.
struct Share {
  int64_t first;
  int count;
  __device__ explicit Share(int64_t tiles) {
    const int64_t warp = threadIdx.x / kWarp;
    first = tiles * warp / kWarps;
    count = static_cast<int>(tiles * (warp + 1) / kWarps - first);
  }
};

/// Records of one warp on their way through kSlots places in shared memory.
template <int kSlots>
class RecordRing {
 public:
  __device__ RecordRing(const WarpTiles& weight, const Share& share, uint8_t* slots, int lane)
      : records_(weight.records),
        starts_(weight.starts + blockIdx.x * (weight.tiles() + 1) + share.first),
        count_(share.count),
        slot_bytes_(static_cast<int>(weight.record_bytes) + kSlack),
        slots_(slots),
        lane_(lane) {
    // The share after the next is read ahead: no copy has to wait for it.
    begin_ = __ldg(starts_);
    end_ = __ldg(starts_ + (count_ < 1 ? count_ : 1));
#pragma unroll 1
    for (int i = 0; i < kSlots - 1; ++i) copy_next();
  }

  /// The next record, until the call after this one.
  __device__ const uint8_t* next() {
    wait_for_copies<kSlots - 2>();
    __syncwarp();  // other lanes' copies have arrived, and all have read the record before
    const uint8_t* record = slots_ + taken_ % kSlots * slot_bytes_;
    ++taken_;
    copy_next();
    return record;
  }

 private:
  __device__ void copy_next() {
    if (copied_ < count_) {
      uint8_t* to = slots_ + copied_ % kSlots * slot_bytes_;
#pragma unroll 1
      for (uint32_t i = begin_ + lane_; i < end_; i += kWarp) {
        start_copy(to + 16 * (i - begin_), records_ + int64_t{16} * i);
      }
      ++copied_;
      begin_ = end_;
      end_ = __ldg(starts_ + (copied_ + 1 < count_ ? copied_ + 1 : count_));
    }
    commit_copies();  // also without copies: groups are counted
  }

  const uint8_t* records_;
  const uint32_t* starts_;
  int count_;
  int slot_bytes_;
  uint8_t* slots_;
  uint32_t lane_;
  uint32_t begin_;
  uint32_t end_;
  int copied_ = 0;
  int taken_ = 0;
};

template <Element kElement, int kGroups, int kSlots>
__global__ void __launch_bounds__(kThreads) multiply_masked(const WarpProduct job) {
  PRUNE_SHARED_DYNAMIC(uint8_t, slots);  // [kWarps, kSlots, record_bytes + kSlack]
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Share share(job.weight.tiles());
  RecordRing<kSlots> ring(job.weight, share,
                          slots + warp * kSlots * (job.weight.record_bytes + kSlack), lane);
  std::conditional_t<kGroups == 0, ElementSums<kElement>, CodeSums<kElement, kGroups>> sums(
      job, share.first, lane);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    sums.load();
    sums.add(ring.next(), lane);
  }
  store_products(job, sums.sums);
}

/// Codes without starts: each lane reads its words itself, some tiles ahead.
template <Element kElement, Arrangement kArrangement, int kGroups>
__global__ void __launch_bounds__(kThreads) multiply_direct(const WarpProduct job) {
  constexpr int kWords = kDirectWords<kElement, kArrangement>;
  constexpr int kBytes = kDirectBytes<kWords, kGroups>;
  constexpr int kAhead = 16 / kWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Share share(job.weight.tiles());
  const uint8_t* record =
      job.weight.records + (blockIdx.x * job.weight.tiles() + share.first) * kBytes;
  CodeSums<kElement, kGroups> sums(job, share.first, lane);
  DirectTile<kWords> ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (i < share.count) ahead[i] = load_direct<kWords, kGroups>(record + i * kBytes, lane);
  }
#pragma unroll 1
  for (int i = 0; i < share.count; i += kAhead) {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      if (i + j >= share.count) break;
      const DirectTile<kWords> tile = ahead[j];
      record += kBytes;
      if (i + j + kAhead < share.count) {
        ahead[j] = load_direct<kWords, kGroups>(record + (kAhead - 1) * kBytes, lane);
      }
      sums.load();
      sums.template add<kArrangement>(tile);
    }
  }
  store_products(job, sums.sums);
}

/// Writes the elements of a tile. One warp for each; CTA i takes tiles kWarps i and so on of all blocks.
template <Element kElement, Arrangement kArrangement, int kGroups>
__global__ void __launch_bounds__(kThreads) expand_tiles(const WarpTiles weight, uint16_t* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t index = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (index >= weight.blocks() * weight.tiles()) return;
  const int64_t block = index / weight.tiles();
  const int64_t tile = index % weight.tiles();
  uint16_t* const corner = to + (block * kBlockRows + lane / 4) * weight.padded_cols() +
                           tile * kWarpCols + lane % 4 * 16;
  const auto store = [&](int half, int octet, int row, uint32_t low, uint32_t high) {
    uint16_t* const place = corner + row * 8 * weight.padded_cols() + half * kHalfCols + 4 * octet;
    *reinterpret_cast<uint2*>(place) = make_uint2(low, high);
  };
  const auto store_codes = [&](int half, int octet, int row, uint32_t codes, uint32_t scales) {
    const float scale = value_of_16_bits(static_cast<uint16_t>(scales >> 16 * row), weight.is_half);
    uint32_t bits[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto byte = static_cast<uint8_t>(codes >> 8 * i);
      const int code = kElement == Element::kCode4 ? static_cast<int>(byte) - 8
                                                   : static_cast<int>(static_cast<int8_t>(byte));
      bits[i] = round_to_16_bits(static_cast<float>(code) * scale, weight.is_half);
    }
    store(half, octet, row, bits[0] | bits[1] << 16, bits[2] | bits[3] << 16);
  };
  if constexpr (kArrangement == Arrangement::kMasked) {
    const uint8_t* record =
        weight.records + int64_t{16} * weight.starts[block * (weight.tiles() + 1) + tile];
    const auto* scales = reinterpret_cast<const uint32_t*>(record + kStartsBytes) + lane / 4;
    visit_masked<kElement, kGroups>(
        record, lane, [&](int half, int step, const Fragment& fragment) {
          if constexpr (is_code(kElement)) {
            const uint32_t pair = scales[8 * half * (kGroups - 1)];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              store_codes(half, 2 * step + i / 2, i % 2, fragment.at[i], pair);
            }
          } else {
            store(half, step, 0, fragment.at[0], fragment.at[2]);
            store(half, step, 1, fragment.at[1], fragment.at[3]);
          }
        });
  } else {
    constexpr int kWords = kDirectWords<kElement, kArrangement>;
    const auto direct =
        load_direct<kWords, kGroups>(weight.records + index * kDirectBytes<kWords, kGroups>, lane);
    visit_direct<kElement, kArrangement>(direct, [&](int half, int step, const Fragment& fragment) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        store_codes(half, 2 * step + i / 2, i % 2, fragment.at[i], direct.scales[half]);
      }
    });
  }
}

/// The largest of the values of all lanes; NaN if one of them is.
__device__ inline float largest_of_warp(float value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, value, step);
    value = other > value || isnan(other) ? other : value;
  }
  return value;
}

__device__ inline int32_t sum_of_warp(int32_t value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, step);
  }
  return value;
}

/// Rounds activations, one warp for each token's group: CTA i takes groups kWarps i and so on of all tokens.
__global__ void __launch_bounds__(kThreads) round_activations(const WarpRounding job) {
  const WarpTiles& weight = job.weight;
  const int64_t index = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (index >= job.tokens * weight.groups()) return;
  const int64_t token = index / weight.groups();
  const int64_t group = index % weight.groups();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  constexpr int kMostEach = kWarpCols / kWarp;
  const int each = kMostEach / weight.groups_per_tile;
  const int64_t first = group * each * kWarp + lane * each;
  float x[kMostEach];
  float largest = 0.0F;
#pragma unroll
  for (int i = 0; i < kMostEach; ++i) {
    const bool inside = i < each && first + i < weight.cols;
    x[i] = inside ? value_of_16_bits(job.x[token * weight.cols + first + i], weight.is_half) : 0.0F;
    const float magnitude = fabsf(x[i]);
    largest = magnitude > largest || isnan(magnitude) ? magnitude : largest;
  }
  largest = largest_of_warp(largest);
  const RoundingStep step(largest, largest - largest);
  int32_t high_sum = 0;
  int32_t low_sum = 0;
#pragma unroll
  for (int i = 0; i < kMostEach; ++i) {
    if (i >= each) break;
    const int32_t whole = __float2int_rn(x[i] * step.inverse);
    const int32_t high = (whole + 128) >> 8;
    const int32_t low = whole - 256 * high;
    job.high[token * weight.padded_cols() + first + i] = static_cast<int8_t>(high);
    job.low[token * weight.padded_cols() + first + i] = static_cast<int8_t>(low);
    high_sum += high;
    low_sum += low;
  }
  high_sum = sum_of_warp(high_sum);
  low_sum = sum_of_warp(low_sum);
  const int32_t offset = weight.element == Element::kCode4 ? -8 : 0;
  if (lane == 0) {
    job.group[group * kMostTokens + token] = {step.size, offset * high_sum, offset * low_sum, 0};
  }
}

// ---------------------------------------------------------------------------------------------------
// Launch sequences, on the host. Launch has
//   bool operator()(kernel, ctas, threads, shared_bytes, arguments...)
//   int64_t shared_limit(): bytes of shared memory that a CTA may have, static arrays included

/// Calls call<element, arrangement, groups of a tile>() with the matrix's.
template <class Call>
bool with_arrangement(const WarpTiles& weight, const Call& call) {
  const auto codes = [&]<Element kElement, Arrangement kArrangement>() {
    if (weight.groups_per_tile == 2) return call.template operator()<kElement, kArrangement, 2>();
    return call.template operator()<kElement, kArrangement, 1>();
  };
  const bool dense = weight.arrangement == Arrangement::kDense;
  switch (weight.element) {
    case Element::kBFloat16:
      return call.template operator()<Element::kBFloat16, Arrangement::kMasked, 0>();
    case Element::kFloat16:
      return call.template operator()<Element::kFloat16, Arrangement::kMasked, 0>();
    case Element::kCode8:
      return dense ? codes.template operator()<Element::kCode8, Arrangement::kDense>()
                   : codes.template operator()<Element::kCode8, Arrangement::kMasked>();
    case Element::kCode4:
      break;
  }
  if (dense) return codes.template operator()<Element::kCode4, Arrangement::kDense>();
  if (weight.arrangement == Arrangement::kMasked) {
    return codes.template operator()<Element::kCode4, Arrangement::kMasked>();
  }
  return codes.template operator()<Element::kCode4, Arrangement::kBalanced>();
}

template <class Launch>
bool launch_rounding(Launch& launch, const WarpRounding& job) {
  const int64_t warps = job.tokens * job.weight.groups();
  return launch(round_activations, (warps + kWarps - 1) / kWarps, kThreads, 0, job);
}

template <Element kElement, int kGroups, int kSlots, class Launch>
bool launch_masked(Launch& launch, const WarpProduct& job) {
  const int64_t bytes = kWarps * kSlots * (job.weight.record_bytes + kSlack);
  return launch(multiply_masked<kElement, kGroups, kSlots>, job.weight.blocks(), kThreads, bytes,
                job);
}

template <class Launch>
bool launch_product(Launch& launch, const WarpProduct& job) {
  return with_arrangement(job.weight,
                          [&]<Element kElement, Arrangement kArrangement, int kGroups>() {
                            if constexpr (kArrangement == Arrangement::kMasked) {
                              // More slots hide more of the memory's latency; not every GPU has room for four of the largest records.
                              const int64_t four = kWarps * 4 * (job.weight.record_bytes + kSlack);
                              if (four + kPartsBytes <= launch.shared_limit())
                                return launch_masked<kElement, kGroups, 4>(launch, job);
                              return launch_masked<kElement, kGroups, 2>(launch, job);
                            } else {
                              return launch(multiply_direct<kElement, kArrangement, kGroups>,
                                            job.weight.blocks(), kThreads, 0, job);
                            }
                          });
}

template <class Launch>
bool launch_expansion(Launch& launch, const WarpTiles& weight, uint16_t* to) {
  return with_arrangement(weight, [&]<Element kElement, Arrangement kArrangement, int kGroups>() {
    const int64_t warps = weight.blocks() * weight.tiles();
    return launch(expand_tiles<kElement, kArrangement, kGroups>, (warps + kWarps - 1) / kWarps,
                  kThreads, 0, weight, to);
  });
}

}  // namespace
}  // namespace prune::kernels::detail
