#include "rope.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

// As in transformers/modeling_rope_utils.py, float32 where that is float32.

namespace prune::models {
namespace {

/// theta^(2i / head_dim), the wavelength of pair i over 2 pi.
Tensor wavelengths(double theta, int64_t head_dim) {
  return at::pow(theta, at::arange(0, head_dim, 2, at::kFloat).div(static_cast<double>(head_dim)));
}

RopeFrequencies plain(const Rope& rope, int64_t) {
  return {wavelengths(rope.theta, rope.head_dim).reciprocal()};
}

/// Position interpolation (Chen et al. 2023, arXiv 2306.15595).
RopeFrequencies linear(const Rope& rope, int64_t seqlen) {
  return {plain(rope, seqlen).inv_freq.div(require<double>(rope.parameters, "factor"))};
}

/// NTK-aware scaling that grows with the sequence; no change up to max_positions.
RopeFrequencies dynamic(const Rope& rope, int64_t seqlen) {
  const double factor = require<double>(rope.parameters, "factor");
  const auto dim = static_cast<double>(rope.head_dim);
  const double stretch = static_cast<double>(std::max(seqlen, rope.max_positions)) /
                         static_cast<double>(rope.max_positions);
  const double theta = rope.theta * std::pow(factor * stretch - (factor - 1.0), dim / (dim - 2.0));
  return {wavelengths(theta, rope.head_dim).reciprocal()};
}

/// LLaMA 3.1: long waves are slowed down by `factor`, short ones are kept, those between are
/// blended.
RopeFrequencies llama3(const Rope& rope, int64_t seqlen) {
  const double factor = require<double>(rope.parameters, "factor");
  const double low = require<double>(rope.parameters, "low_freq_factor");
  const double high = require<double>(rope.parameters, "high_freq_factor");
  const auto original = static_cast<double>(rope.original_max_positions);
  const Tensor inv_freq = plain(rope, seqlen).inv_freq;
  const Tensor wavelength = inv_freq.reciprocal().mul(2.0 * std::numbers::pi);
  const Tensor kept =
      wavelength.reciprocal().mul(original).sub(low).div(high - low).clamp(0.0, 1.0);
  return {(1.0 - kept) * inv_freq / factor + kept * inv_freq};
}

/// YaRN (Peng et al. 2023, arXiv 2309.00071).
RopeFrequencies yarn(const Rope& rope, int64_t) {
  const json& parameters = rope.parameters;
  const auto original = static_cast<double>(rope.original_max_positions);
  const auto dim = static_cast<double>(rope.head_dim);
  const double factor =
      value_or(parameters, "factor", static_cast<double>(rope.max_positions) / original);

  // Index of the pair that turns `turns` times over the original length.
  const auto pair_of = [&](double turns) {
    return dim * std::log(original / (turns * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  double first = pair_of(value_or(parameters, "beta_fast", 32.0));
  double last = pair_of(value_or(parameters, "beta_slow", 1.0));
  if (value_or(parameters, "truncate", true)) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, dim - 1.0);
  if (first == last) last += 0.001;  // avoids a division by zero, as Transformers does
  const Tensor slowed =
      at::arange(rope.head_dim / 2, at::kFloat).sub(first).div(last - first).clamp(0.0, 1.0);
  const Tensor waves = wavelengths(rope.theta, rope.head_dim);

  const auto attention_scale = [&](double weight) {
    return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
  };
  const double mscale = value_or(parameters, "mscale", 0.0);
  const double mscale_all_dim = value_or(parameters, "mscale_all_dim", 0.0);
  const double attention_factor = mscale != 0.0 && mscale_all_dim != 0.0
                                      ? attention_scale(mscale) / attention_scale(mscale_all_dim)
                                      : attention_scale(1.0);
  return {(waves * factor).reciprocal() * slowed + waves.reciprocal() * (1.0 - slowed),
          value_or(parameters, "attention_factor", attention_factor)};
}

using RopeType = RopeFrequencies (*)(const Rope&, int64_t);

const std::map<std::string, RopeType>& rope_types() {
  static const std::map<std::string, RopeType> kTypes = {{"default", plain},
                                                         {"dynamic", dynamic},
                                                         {"linear", linear},
                                                         {"llama3", llama3},
                                                         {"yarn", yarn}};
  return kTypes;
}

RopeType find_rope_type(const std::string& name) {
  const auto found = rope_types().find(name);
  if (found != rope_types().end()) return found->second;
  std::string known;
  for (const auto& [known_name, function] : rope_types()) known += " " + known_name;
  throw Error(ErrorKind::kInput,
              fmt::format("rope type '{}' is not supported; known ones:{}", name, known));
}

/// The object with the rope type's keys. A non-empty `rope_scaling` takes precedence over
/// `rope_parameters`.
json rope_parameters(const json& raw) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json parameters = value_or(raw, key, json::object());
    if (!parameters.is_object()) throw_json_error(key, "is not a JSON object");
    for (const auto& [name, value] : parameters.items()) {
      if (value.is_object()) {
        throw Error(
            ErrorKind::kInput,
            fmt::format("{} differ by layer type ('{}'), which is not supported", key, name));
      }
    }
    if (!parameters.empty()) return parameters;
  }
  return json::object();
}

}  // namespace

Rope read_rope(const json& raw, int64_t head_dim, int64_t max_positions) {
  const json parameters = rope_parameters(raw);
  Rope rope{.theta = value_or(parameters, "rope_theta", value_or(raw, "rope_theta", 10000.0)),
            .head_dim = head_dim,
            .max_positions = max_positions,
            .original_max_positions =
                value_or(raw, "original_max_position_embeddings",
                         value_or(parameters, "original_max_position_embeddings", max_positions)),
            .parameters = parameters,
            .frequencies = find_rope_type(value_or<std::string>(
                parameters, "rope_type", value_or<std::string>(parameters, "type", "default")))};
  const double rotated =
      value_or(parameters, "partial_rotary_factor", value_or(raw, "partial_rotary_factor", 1.0));
  if (rotated != 1.0) {
    throw Error(ErrorKind::kInput,
                fmt::format("partial_rotary_factor {} is not supported, only 1", rotated));
  }
  if (head_dim < 2 || head_dim % 2 != 0) {
    throw Error(ErrorKind::kInput, fmt::format("head_dim {} cannot be rotated by pairs", head_dim));
  }
  const RopeFrequencies frequencies = rope.frequencies(rope, max_positions);
  if (!at::isfinite(frequencies.inv_freq).all().item<bool>() ||
      !std::isfinite(frequencies.attention_factor)) {
    throw Error(ErrorKind::kInput, fmt::format("rope_theta {} and the rope parameters {} make "
                                               "frequencies that are not finite",
                                               rope.theta, parameters.dump()));
  }
  return rope;
}

Tensor Rotation::operator()(const Tensor& x) const {
  const std::vector<Tensor> halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

Rotation rotation_of(const Rope& rope, int64_t seqlen, const at::TensorOptions& options) {
  const RopeFrequencies frequencies = rope.frequencies(rope, seqlen);
  const Tensor positions = at::arange(seqlen, options.dtype(at::kFloat));
  const Tensor angles =
      at::outer(positions, frequencies.inv_freq.to(options.device())).repeat({1, 2});
  const auto dtype = options.dtype();
  return {angles.cos().mul_(frequencies.attention_factor).to(dtype),
          angles.sin().mul_(frequencies.attention_factor).to(dtype)};
}

}  // namespace prune::models
