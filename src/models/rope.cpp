#include "rope.h"

#include <prune/core/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

// As in transformers/modeling_rope_utils.py, float32 where that is float32.

namespace prune::models {
namespace {

/// Radians per position of each pair of elements, [dims / 2] float32, and a factor for cos and sin.
struct Frequencies {
  Tensor inv_freq;
  double attention_factor = 1.0;
};

/// theta^(2i / dims), the wavelength of pair i over 2 pi.
Tensor wavelengths(double theta, int64_t dims) {
  return at::pow(theta, at::arange(0, dims, 2, at::kFloat).div(static_cast<double>(dims)));
}

Frequencies plain(const RopeSpec& rope) {
  return {wavelengths(rope.theta, rope.dims).reciprocal()};
}

/// NTK-aware scaling that grows with the sequence; no change up to max_positions.
Frequencies dynamic(const RopeSpec& rope, int64_t seqlen) {
  const auto dims = static_cast<double>(rope.dims);
  const double stretch = static_cast<double>(std::max(seqlen, rope.max_positions)) /
                         static_cast<double>(rope.max_positions);
  const double theta =
      rope.theta * std::pow(rope.factor * stretch - (rope.factor - 1.0), dims / (dims - 2.0));
  return {wavelengths(theta, rope.dims).reciprocal()};
}

/// LLaMA 3.1: long waves are slowed down by `factor`, short ones are kept, those between are
/// blended.
Frequencies llama3(const RopeSpec& rope) {
  const auto original = static_cast<double>(rope.original_max_positions);
  const Tensor inv_freq = plain(rope).inv_freq;
  const Tensor wavelength = inv_freq.reciprocal().mul(2.0 * std::numbers::pi);
  const Tensor kept = wavelength.reciprocal()
                          .mul(original)
                          .sub(rope.low_freq_factor)
                          .div(rope.high_freq_factor - rope.low_freq_factor)
                          .clamp(0.0, 1.0);
  return {(1.0 - kept) * inv_freq / rope.factor + kept * inv_freq};
}

/// YaRN (Peng et al. 2023, arXiv 2309.00071).
Frequencies yarn(const RopeSpec& rope) {
  const auto original = static_cast<double>(rope.original_max_positions);
  const auto dims = static_cast<double>(rope.dims);
  // Index of the pair that turns `turns` times over the original length.
  const auto pair_of = [&](double turns) {
    return dims * std::log(original / (turns * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  double first = pair_of(rope.beta_fast);
  double last = pair_of(rope.beta_slow);
  if (rope.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, dims - 1.0);
  if (first == last) last += 0.001;  // avoids a division by zero, as Transformers does
  const Tensor slowed =
      at::arange(rope.dims / 2, at::kFloat).sub(first).div(last - first).clamp(0.0, 1.0);
  const Tensor waves = wavelengths(rope.theta, rope.dims);

  const auto attention_scale = [&](double weight) {
    return rope.factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(rope.factor) + 1.0;
  };
  const double attention_factor =
      rope.mscale != 0.0 && rope.mscale_all_dim != 0.0
          ? attention_scale(rope.mscale) / attention_scale(rope.mscale_all_dim)
          : attention_scale(1.0);
  return {(waves * rope.factor).reciprocal() * slowed + waves.reciprocal() * (1.0 - slowed),
          rope.attention_factor.value_or(attention_factor)};
}

/// LongRoPE (Ding et al. 2024, arXiv 2402.13753) as in Phi-3: a factor for each pair.
Frequencies long_rope(const RopeSpec& rope, int64_t seqlen) {
  const bool is_long = seqlen > rope.original_max_positions;
  const Tensor factors = at::tensor(is_long ? rope.long_factor : rope.short_factor, at::kFloat);
  const double original = static_cast<double>(rope.original_max_positions);
  const double by_length =
      rope.factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(rope.factor) / std::log(original));
  return {(factors * wavelengths(rope.theta, rope.dims)).reciprocal(),
          rope.attention_factor.value_or(by_length)};
}

/// Gemma 4: as many waves as a head has pairs, of which the first ones turn.
Frequencies proportional(const RopeSpec& rope) {
  const auto turning = static_cast<int64_t>(rope.proportion * static_cast<double>(rope.dims) / 2.0);
  const Tensor inv_freq = plain(rope).inv_freq.div(rope.factor);
  inv_freq.slice(0, turning).zero_();
  return {inv_freq};
}

Frequencies frequencies(const RopeSpec& rope, int64_t seqlen) {
  switch (rope.type) {
    case RopeType::kLinear:  // position interpolation (Chen et al. 2023, arXiv 2306.15595)
      return {plain(rope).inv_freq.div(rope.factor)};
    case RopeType::kDynamic:
      return dynamic(rope, seqlen);
    case RopeType::kLlama3:
      return llama3(rope);
    case RopeType::kYarn:
      return yarn(rope);
    case RopeType::kLongRope:
      return long_rope(rope, seqlen);
    case RopeType::kProportional:
      return proportional(rope);
    default:
      return plain(rope);
  }
}

/// The partner of each element, with the sign it is added with.
Tensor partners(const Tensor& x, bool interleaved) {
  if (!interleaved) {
    const std::vector<Tensor> halves = x.chunk(2, -1);
    return at::cat({-halves[1], halves[0]}, -1);
  }
  const Tensor even = x.slice(-1, 0, x.size(-1), 2);
  const Tensor odd = x.slice(-1, 1, x.size(-1), 2);
  return at::stack({-odd, even}, -1).flatten(-2);
}

}  // namespace

void check_rope(const RopeSpec& rope) {
  if (rope.dims < 2 || rope.dims % 2 != 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("{} dimensions of a head cannot be rotated by pairs", rope.dims));
  }
  for (const std::vector<double>* factors : {&rope.short_factor, &rope.long_factor}) {
    if (rope.type != RopeType::kLongRope || std::ssize(*factors) == rope.dims / 2) continue;
    throw Error(ErrorKind::kInput, fmt::format("longrope has {} factors for {} pairs of dimensions",
                                               factors->size(), rope.dims / 2));
  }
  for (const int64_t seqlen : {int64_t{1}, rope.max_positions}) {
    const Frequencies found = frequencies(rope, seqlen);
    if (at::isfinite(found.inv_freq).all().item<bool>() && std::isfinite(found.attention_factor)) {
      continue;
    }
    throw Error(ErrorKind::kInput,
                fmt::format("rope_theta {} and the rope parameters make frequencies that are not "
                            "finite",
                            rope.theta));
  }
}

Tensor Rotation::operator()(const Tensor& x) const {
  const int64_t dims = cos.size(-1);
  const Tensor rotated = dims == x.size(-1) ? x : x.slice(-1, 0, dims);
  Tensor y = (rotated * cos + partners(rotated, interleaved) * sin).to(x.scalar_type());
  return dims == x.size(-1) ? y : at::cat({y, x.slice(-1, dims)}, -1);
}

namespace {

Rotation make_rotation(const RopeSpec& rope, int64_t first, int64_t end,
                       const at::TensorOptions& options) {
  const Frequencies found = frequencies(rope, end);
  const Tensor positions = at::arange(first, end, options.dtype(at::kFloat));
  const Tensor by_pair = at::outer(positions, found.inv_freq.to(options.device()));
  const Tensor angles =
      rope.interleaved ? by_pair.repeat_interleave(2, -1) : by_pair.repeat({1, 2});
  const auto dtype = rope.in_float ? at::kFloat : c10::typeMetaToScalarType(options.dtype());
  return {angles.cos().mul_(found.attention_factor).to(dtype),
          angles.sin().mul_(found.attention_factor).to(dtype), rope.interleaved};
}

/// A rotation and what it follows from.
struct Remembered {
  RopeSpec rope = {};
  int64_t first = -1;
  int64_t end = -1;
  at::TensorOptions options = {};
  bool of_inference = false;  // such tensors must not meet gradients
  Rotation rotation = {};
};

}  // namespace

Rotation rotation_of(const RopeSpec& rope, int64_t first, int64_t end,
                     const at::TensorOptions& options) {
  // When a text is written token by token, all blocks ask for the same rotation, or for two in turns.
  constexpr int64_t kFewTokens = 8;
  if (end - first > kFewTokens) return make_rotation(rope, first, end, options);
  thread_local std::array<Remembered, 2> last;
  const bool of_inference = at::InferenceMode::is_enabled();
  const auto same = [&](const Remembered& other) {
    return other.first == first && other.end == end && other.of_inference == of_inference &&
           other.options.device() == options.device() && other.options.dtype() == options.dtype() &&
           other.rope == rope;
  };
  if (!same(last[0])) {
    std::swap(last[0], last[1]);
    if (!same(last[0])) {
      last[0] = {rope, first, end, options, of_inference, make_rotation(rope, first, end, options)};
    }
  }
  return last[0].rotation;
}

}  // namespace prune::models
