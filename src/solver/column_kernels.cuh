#pragma once

#include <cmath>
#include <cstdint>
#include <prune/core/shared_memory.cuh>

#include "column_kernels.h"

// Device code of the column loop. tests/fibre_emulator.h runs this file on the host. That is why fmaf is spelled out (so
// that both compilers round alike), and why the launch sequences at the end are templates over the launcher.

// The unnamed namespace separates the host's and the device's build of a kernel in a test that
// links both.
namespace prune::solver::detail {
namespace {

constexpr int kWarp = 32;

// ---------------------------------------------------------------------------------------------------
// Scores

// Bit patterns of non-negative floats are ordered like the floats; clearing the sign sorts a NaN
// above infinity. The same operations in the same sequence as on the CPU.
__device__ inline uint32_t score_bits(float w, float v_jj) {
  return __float_as_uint(w * w * (v_jj * v_jj)) & 0x7fffffffU;
}

__device__ inline ScoreKey score_key(uint32_t bits, uint32_t index) {
  return static_cast<ScoreKey>(bits) << 32 | index;
}

// ---------------------------------------------------------------------------------------------------
// The threshold. Three radix passes over the 31 bits of the score find the k-th score and the rank
// of the wanted weight among those with the same score. The last pass also stores the histogram of
// every chunk of rows; they tell which chunk holds the wanted weight, and only that chunk is read
// again for its index. Each pass derives the previous pass's result from the histogram itself, so
// plain launches suffice: neither grid synchronisation nor the host takes part.

constexpr int kThresholdThreads = 256;
constexpr int kPasses = 3;
constexpr int kMaxBins = 2048;
constexpr int kLastBins = 1024;
constexpr int kMaxChunks = 512;  // one CTA each; about four per SM of an H100
constexpr int64_t kMinChunkWeights = 2048;

template <int kPass>
struct Digit {
  static constexpr int kShift = 20 - 10 * kPass;
  static constexpr int kBits = kPass == 0 ? 11 : 10;
  static constexpr int kBins = 1 << kBits;
};
static_assert(Digit<0>::kBins == kMaxBins && Digit<kPasses - 1>::kBins == kLastBins);
static_assert(Digit<kPasses - 1>::kShift == 0);

// The leading bits of the k-th score, and the wanted weight's rank among those with these bits.
struct ScorePrefix {
  uint32_t bits;
  uint32_t rank;
};

struct ThresholdWorkspace {
  uint32_t bins[kPasses][kMaxBins];  // zero before the first pass
  ScorePrefix found[kPasses - 1];
  uint32_t chunk_bins[kMaxChunks][kLastBins];
};

struct Place {
  uint32_t at;
  uint32_t rank;
};

// Finds the smallest `at` for which value(0) + ... + value(at) exceeds `rank`, and rank minus the
// sum before it. The values must add up to more than `rank`. All threads of the CTA must call it.
// `sums` has kThresholdThreads + 2 elements; the last two hold the answer. The next call writes
// them after its own barriers, so none is needed after reading them.
template <class Value>
__device__ Place find_place(const Value& value, uint32_t size, uint32_t rank, uint32_t* sums) {
  const uint32_t thread = threadIdx.x;
  const uint32_t share = (size + kThresholdThreads - 1) / kThresholdThreads;
  const uint32_t begin = min(thread * share, size);
  const uint32_t end = min(begin + share, size);
  uint32_t own = 0;
  for (uint32_t i = begin; i < end; ++i) own += value(i);
  sums[thread] = own;
  __syncthreads();
  for (uint32_t step = 1; step < kThresholdThreads; step *= 2) {
    const uint32_t left = thread >= step ? sums[thread - step] : 0;
    __syncthreads();
    sums[thread] += left;
    __syncthreads();
  }
  const uint32_t before = sums[thread] - own;
  if (before <= rank && rank - before < own) {
    uint32_t left = rank - before;
    uint32_t at = begin;
    for (uint32_t here = value(at); left >= here; here = value(at)) {
      left -= here;
      ++at;
    }
    sums[kThresholdThreads] = at;
    sums[kThresholdThreads + 1] = left;
  }
  __syncthreads();
  return {sums[kThresholdThreads], sums[kThresholdThreads + 1]};
}

// Extends the prefix of the k-th score by the digit of `kPass`.
template <int kPass>
__device__ ScorePrefix read_pass(const ThresholdJob& job, uint32_t* sums) {
  const auto* workspace = static_cast<const ThresholdWorkspace*>(job.workspace);
  ScorePrefix prefix{0, static_cast<uint32_t>(job.zeros - 1)};
  if constexpr (kPass > 0) prefix = workspace->found[kPass - 1];
  const uint32_t* bins = workspace->bins[kPass];
  const Place place = find_place([bins](uint32_t bin) { return bins[bin]; }, Digit<kPass>::kBins,
                                 prefix.rank, sums);
  return {prefix.bits << Digit<kPass>::kBits | place.at, place.rank};
}

// Counts the next digit of all scores that begin with the prefix found so far. CTA i takes rows
// [i * chunk_rows, (i + 1) * chunk_rows).
template <int kPass>
__global__ void __launch_bounds__(kThresholdThreads)
    count_scores(const ThresholdJob job, const int64_t chunk_rows) {
  constexpr int kBins = Digit<kPass>::kBins;
  PRUNE_SHARED_ARRAY(uint32_t, bins, kBins);
  PRUNE_SHARED_ARRAY(uint32_t, sums, kThresholdThreads + 2);
  auto* workspace = static_cast<ThresholdWorkspace*>(job.workspace);
  const int thread = static_cast<int>(threadIdx.x);

  ScorePrefix prefix{0, 0};
  if constexpr (kPass > 0) {
    prefix = read_pass<kPass - 1>(job, sums);
    if (blockIdx.x == 0 && thread == 0) workspace->found[kPass - 1] = prefix;
  }
  for (int bin = thread; bin < kBins; bin += kThresholdThreads) bins[bin] = 0;
  __syncthreads();

  const int64_t begin = blockIdx.x * chunk_rows;
  const int64_t end = min(begin + chunk_rows, job.rows);
  for (int64_t row = begin + thread / kWarp; row < end; row += kThresholdThreads / kWarp) {
    for (int64_t column = thread % kWarp; column < job.columns; column += kWarp) {
      const float w = job.weight[row * job.columns + column];
      const uint32_t bits = score_bits(w, job.v_diag[column]) >> Digit<kPass>::kShift;
      if (bits >> Digit<kPass>::kBits == prefix.bits) atomicAdd(&bins[bits % kBins], 1U);
    }
  }
  __syncthreads();

  for (int bin = thread; bin < kBins; bin += kThresholdThreads) {
    if (bins[bin] != 0) atomicAdd(&workspace->bins[kPass][bin], bins[bin]);
    if constexpr (kPass == kPasses - 1) workspace->chunk_bins[blockIdx.x][bin] = bins[bin];
  }
}

// Finds the index of the k-th weight and writes the threshold. One CTA.
__global__ void __launch_bounds__(kThresholdThreads)
    finish_threshold(const ThresholdJob job, const int64_t chunk_rows, const uint32_t chunks) {
  PRUNE_SHARED_ARRAY(uint32_t, sums, kThresholdThreads + 2);
  const auto* workspace = static_cast<const ThresholdWorkspace*>(job.workspace);
  const ScorePrefix kth = read_pass<kPasses - 1>(job, sums);
  const uint32_t bin = kth.bits % kLastBins;
  const Place chunk =
      find_place([&](uint32_t i) { return workspace->chunk_bins[i][bin]; }, chunks, kth.rank, sums);

  const auto columns = static_cast<uint32_t>(job.columns);
  const auto chunk_size = static_cast<uint32_t>(chunk_rows) * columns;
  const uint32_t first = chunk.at * chunk_size;
  const uint32_t size = min(chunk_size, static_cast<uint32_t>(job.rows) * columns - first);
  const Place equal = find_place(
      [&](uint32_t i) {
        const uint32_t index = first + i;
        return score_bits(job.weight[index], job.v_diag[index % columns]) == kth.bits ? 1U : 0U;
      },
      size, chunk.rank, sums);
  if (threadIdx.x == 0) *job.threshold = score_key(kth.bits, first + equal.at) + 1;
}

// ---------------------------------------------------------------------------------------------------
// The column loop

constexpr int kPanelThreads = 256;
constexpr int kBandColumns = 32;

// The N:M scores of a CTA's rows and the packed factor together stay within the 48 KiB that need no
// opt-in: at most 16 rows of 128 or 32 rows of 64 columns.
constexpr int kMaxSharedBytes = 48 * 1024;

// A kept weight stays as it is, or with OPTQ becomes the nearest number of its group's grid.
struct KeepExact {
  static constexpr bool kRounds = false;
  __device__ float operator()(float w, int64_t /*row*/, int64_t /*column*/) const { return w; }
};

// The arithmetic of the CPU twin. A NaN stays a NaN, because neither comparison holds.
struct RoundToGrid {
  static constexpr bool kRounds = true;
  const float* scale;
  const float* low;
  const float* high;
  int64_t rows;
  int group_size;
  int first_column;

  __device__ float operator()(float w, int64_t row, int64_t column) const {
    const int64_t at = (first_column + static_cast<int>(column)) / group_size * rows + row;
    const float wanted = w / scale[at];
    const float above = wanted < low[at] ? low[at] : wanted;
    const float within = above > high[at] ? high[at] : above;
    constexpr float kNoFraction = 12582912.0F;
    return ((within + kNoFraction) - kNoFraction) * scale[at];
  }
};

// U of one panel in shared memory. Rows form bands of 32; a band omits the columns left of itself,
// which are zero, and that shrinks 64 KiB to 40. Each 32 columns are stored by lane: a lane's slots
// of one band lie side by side (one vector load), and the lanes of a row together read 128 bytes
// without a bank conflict. The diagonal holds V_jj instead of U_jj, because the loop only divides
// by U_jj.
template <int kLanes>
struct PackedFactor {
  static constexpr int kWidth = kBandColumns / kLanes;  // slots of a lane in one band
  static constexpr int kBands = kPanelColumns / kBandColumns;

  __host__ __device__ static constexpr int band_begin(int band) {
    return kBandColumns * (kPanelColumns * band - kBandColumns * band * (band - 1) / 2);
  }
  __host__ __device__ static constexpr int row_begin(int j) {
    const int band = j / kBandColumns;
    return band_begin(band) + j % kBandColumns * (kPanelColumns - kBandColumns * band);
  }
  __host__ __device__ static constexpr int place(int j, int c) {
    return row_begin(j) + (c / kBandColumns - j / kBandColumns) * kBandColumns +
           c % kLanes * kWidth + c % kBandColumns / kLanes;
  }
  static constexpr int kSize =
      kBandColumns * (kPanelColumns * kBands - kBandColumns * kBands * (kBands - 1) / 2);

  struct alignas(kWidth * sizeof(float)) Slice {
    float at[kWidth];
  };
};

template <int kLanes>
__device__ void stage_factor(const PanelJob& job, float* factor) {
  for (int i = static_cast<int>(threadIdx.x); i < kPanelColumns * kPanelColumns;
       i += kPanelThreads) {
    const int j = i / kPanelColumns;
    const int c = i % kPanelColumns;
    if (c / kBandColumns < j / kBandColumns) continue;
    float value = 0.0F;
    if (c == j && j < job.columns) value = job.v_diag[j];
    if (c > j && c < job.columns) value = job.u[j * job.u_stride + c];
    factor[PackedFactor<kLanes>::place(j, c)] = value;
  }
}

// Chooses the prunen smallest scores among the columns [first, first + prunem) of a row; of equal
// scores the smaller column goes first. Bit i of a lane's result is member lane + i * kLanes of the
// group: a lane ranks members, not the columns it holds, so that this code does not depend on the
// slot and stays short. Zeros that stay (bit k: the column of slot k) come before all others. from_slot is the first slot that can hold one of the columns.
template <int kLanes, int kSlots>
__device__ uint32_t choose_n_of_m(const PanelJob& job, const float (&w)[kSlots], uint32_t zeros,
                                  int from_slot, int first, int lane, uint32_t* scores) {
  const int group = static_cast<int>(job.prunem);
  __syncwarp();  // all lanes are done with the scores of the group before
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    const int c = k * kLanes + lane;
    if (k >= from_slot && c >= first && c < first + group) {
      scores[c - first] = (zeros >> k & 1U) != 0 ? 0U : score_bits(w[k], job.v_diag[c]) + 1U;
    }
  }
  __syncwarp();
  uint32_t chosen = 0;
#pragma unroll 1
  for (int i = 0; i * kLanes + lane < group; ++i) {
    const int own = i * kLanes + lane;
    const uint32_t score = scores[own];
    int rank = 0;
#pragma unroll 1
    for (int other = 0; other < group; ++other) {
      rank += scores[other] < score || (scores[other] == score && other < own) ? 1 : 0;
    }
    if (rank < job.prunen) chosen |= 1U << i;
  }
  return chosen;
}

// SparseGPT's inner loop (arXiv 2301.00774, Algorithm 1) over one panel. kLanes lanes share a row:
// lane l holds columns l, l + kLanes, ... in the slots of w. The loop over slots is unrolled so
// that slots are registers. The loop over the columns of a slot is not: fully unrolled code would
// overrun the instruction cache. A CTA takes several tiles of rows, because staging the factor is
// expensive.
template <int kLanes, bool kNOfM, class Quantize>
__global__ void __launch_bounds__(kPanelThreads)
    prune_panel(const PanelJob job, const Quantize quantize) {
  using Packed = PackedFactor<kLanes>;
  constexpr int kSlots = kPanelColumns / kLanes;
  constexpr int kRows = kPanelThreads / kLanes;
  constexpr unsigned kWholeWarp = 0xffffffffU;
  PRUNE_SHARED_ARRAY(float, factor, Packed::kSize);
  PRUNE_SHARED_DYNAMIC(uint32_t, scores);  // [kRows, prunem]
  stage_factor<kLanes>(job, factor);
  __syncthreads();

  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int tile_row = static_cast<int>(threadIdx.x) / kLanes;
  const int columns = static_cast<int>(job.columns);
  [[maybe_unused]] const int prunem = static_cast<int>(job.prunem);
  [[maybe_unused]] ScoreKey threshold = 0;
  if constexpr (!kNOfM) threshold = *job.threshold;

  for (int64_t first_row = int64_t{blockIdx.x} * kRows; first_row < job.rows;
       first_row += int64_t{gridDim.x} * kRows) {
    const int64_t row = first_row + tile_row;
    const bool live = row < job.rows;  // idle rows of the last tile still take part in the shuffles
    float w[kSlots];
    uint32_t pruned = 0;  // bit k: the column of slot k
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
      const int c = k * kLanes + lane;
      w[k] = 0.0F;
      if (!live || c >= columns) continue;
      w[k] = job.start[row * job.start_stride + c];
      if (job.keep_zeros && job.weight[row * job.weight_stride + c] == 0.0F) pruned |= 1U << k;
      if constexpr (!kNOfM) {
        const int64_t index = row * job.block_columns + job.block_offset + c;
        const uint32_t bits = score_bits(job.entry[index], job.v_diag[c]);
        if (score_key(bits, static_cast<uint32_t>(index)) < threshold) pruned |= 1U << k;
      }
    }

    float loss = 0.0F;
    [[maybe_unused]] float rounding = 0.0F;
    [[maybe_unused]] int group_begin = 0;
    [[maybe_unused]] uint32_t chosen = 0;
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
      const int end = min((k + 1) * kLanes, columns);
      const float* factor_row = factor + Packed::row_begin(k * kLanes);
#pragma unroll 1
      for (int j = k * kLanes; j < end; ++j) {
        const int owner = j - k * kLanes;
        if constexpr (kNOfM) {
          if (j == group_begin + prunem) group_begin = j;
          if (j == group_begin) {
            chosen = choose_n_of_m<kLanes, kSlots>(job, w, pruned, k, j, lane,
                                                   scores + tile_row * prunem);
          }
          const int member = j - group_begin;
          const uint32_t bits = __shfl_sync(kWholeWarp, chosen, member % kLanes, kLanes);
          if ((bits >> member / kLanes & 1U) != 0 && lane == owner) pruned |= 1U << k;
        }
        const bool prune = (__shfl_sync(kWholeWarp, pruned, owner, kLanes) >> k & 1U) != 0;
        const float pivot = __shfl_sync(kWholeWarp, w[k], owner, kLanes);
        const float q = prune ? 0.0F : quantize(pivot, row, j);
        const float v_jj = factor_row[owner * Packed::kWidth + k % Packed::kWidth];
        const float err = (pivot - q) * v_jj;
        loss = fmaf(err, err, loss);
        if constexpr (Quantize::kRounds) rounding = fmaf(prune ? 0.0F : err, err, rounding);
#pragma unroll
        for (int band = k / Packed::kWidth; band < Packed::kBands; ++band) {
          const auto u = *reinterpret_cast<const typename Packed::Slice*>(
              factor_row + (band - k / Packed::kWidth) * kBandColumns + lane * Packed::kWidth);
#pragma unroll
          for (int i = 0; i < Packed::kWidth; ++i) {
            const int slot = band * Packed::kWidth + i;
            if (slot >= k) w[slot] = fmaf(-err, u.at[i], w[slot]);
          }
        }
        // The update changed no column left of j (u = 0) but spoiled column j (V_jj), set here.
        if (lane == owner) w[k] = q;
        factor_row += kPanelColumns - k / Packed::kWidth * kBandColumns;
      }
    }

    if (!live) continue;
#pragma unroll
    for (int k = 0; k < kSlots; ++k) {
      const int c = k * kLanes + lane;
      if (c >= columns) continue;
      float* weight = job.weight + row * job.weight_stride + c;
      job.removed[row * job.removed_stride + c] = *weight - w[k];
      job.mask[row * job.mask_stride + c] = (pruned >> k & 1U) != 0;
      *weight = w[k];
    }
    if (lane != 0) continue;
    job.row_loss[row] += 0.5 * static_cast<double>(loss);
    if constexpr (Quantize::kRounds) job.row_rounding[row] += 0.5 * static_cast<double>(rounding);
  }
}

// ---------------------------------------------------------------------------------------------------
// Launch sequences, on the host. Launch has
//   bool zero(void* begin, size_t bytes)
//   bool operator()(kernel, ctas, threads, shared_bytes, arguments...)
//   int resident_ctas(kernel, threads, shared_bytes): CTAs that the device runs at a time
// and the first two return false on an error.

template <class Launch>
bool choose_threshold(Launch& launch, const ThresholdJob& job) {
  if (job.zeros == 0) return launch.zero(job.threshold, sizeof(ScoreKey));
  const auto divide = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t few = divide(job.rows, kMaxChunks);
  const int64_t enough = divide(kMinChunkWeights, job.columns);
  const int64_t chunk_rows = few < enough ? enough : few;
  const auto chunks = static_cast<int>(divide(job.rows, chunk_rows));
  auto* workspace = static_cast<ThresholdWorkspace*>(job.workspace);
  return launch.zero(workspace->bins, sizeof(workspace->bins)) &&
         launch(count_scores<0>, chunks, kThresholdThreads, 0, job, chunk_rows) &&
         launch(count_scores<1>, chunks, kThresholdThreads, 0, job, chunk_rows) &&
         launch(count_scores<2>, chunks, kThresholdThreads, 0, job, chunk_rows) &&
         launch(finish_threshold, 1, kThresholdThreads, 0, job, chunk_rows,
                static_cast<uint32_t>(chunks));
}

template <int kLanes, bool kNOfM, class Launch, class Quantize>
bool prune_panel_with(Launch& launch, const PanelJob& job, const Quantize& quantize) {
  constexpr int64_t kRows = kPanelThreads / kLanes;
  const auto shared_bytes =
      static_cast<int>(kRows * job.prunem * static_cast<int64_t>(sizeof(uint32_t)));
  const auto kernel = prune_panel<kLanes, kNOfM, Quantize>;
  const int64_t tiles = (job.rows + kRows - 1) / kRows;
  const int64_t resident = launch.resident_ctas(kernel, kPanelThreads, shared_bytes);
  return launch(kernel, static_cast<int>(tiles < resident ? tiles : resident), kPanelThreads,
                shared_bytes, job, quantize);
}

// With fewer lanes a row less work is repeated by all lanes; with more lanes there are more CTAs,
// without which a layer of few rows leaves SMs idle. Wide N:M groups need 16 lanes to fit into
// shared memory (kMaxSharedBytes).
inline int choose_lanes(const PanelJob& job) {
  constexpr int64_t kRowsToFill = 132 * 32;  // an H100's SMs with one CTA of 32 rows each
  return job.rows >= kRowsToFill && job.prunem <= 64 ? 8 : 16;
}

template <class Launch, class Quantize = KeepExact>
bool run_panel(Launch& launch, const PanelJob& job, int lanes, const Quantize& quantize = {}) {
  if (job.prunem != 0) {
    return lanes == 8 ? prune_panel_with<8, true>(launch, job, quantize)
                      : prune_panel_with<16, true>(launch, job, quantize);
  }
  return lanes == 8 ? prune_panel_with<8, false>(launch, job, quantize)
                    : prune_panel_with<16, false>(launch, job, quantize);
}

template <class Launch>
bool run_panel_as_asked(Launch& launch, const PanelJob& job, int lanes) {
  if (job.scale == nullptr) return run_panel(launch, job, lanes);
  return run_panel(
      launch, job, lanes,
      RoundToGrid{job.scale, job.low, job.high, job.rows, static_cast<int>(job.group_size),
                  static_cast<int>(job.first_column)});
}

static_assert(PackedFactor<8>::kSize * sizeof(float) + 32 * 64 * sizeof(uint32_t) <=
              kMaxSharedBytes);
static_assert(PackedFactor<16>::kSize * sizeof(float) + 16 * 128 * sizeof(uint32_t) <=
              kMaxSharedBytes);

}  // namespace
}  // namespace prune::solver::detail
