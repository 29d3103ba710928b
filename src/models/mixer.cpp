#include "mixer.h"

#include <fmt/format.h>
#include <prune/kernels/product.h>

#include <cmath>
#include <vector>

#include "norm.h"
#include "scan.h"

namespace prune::models {
namespace {

// [samples, tokens, heads * dim] -> [samples, heads, tokens, dim] in float32
Tensor in_heads(const Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, -1}).transpose(1, 2).to(at::kFloat);
}

// [samples, heads, tokens, dim] -> [samples, tokens, heads * dim]
Tensor from_heads(const Tensor& x) { return x.transpose(1, 2).flatten(2); }

Tensor unit_length(const Tensor& x) {
  constexpr double kEps = 1e-6;
  return x * x.square().sum(-1, /*keepdim=*/true).add(kEps).rsqrt();
}

// y silu(z), rounded after the product
Tensor gated(const Tensor& y, const Tensor& z) {
  return (y * at::silu(z.to(at::kFloat))).to(z.scalar_type());
}

class DeltaNet : public Mixer {
 public:
  DeltaNet(const DeltaNetSpec& spec, const WeightLoader& loader, const std::string& prefix,
           int64_t hidden_size)
      : spec_(spec) {
    const int64_t heads = spec.value_heads;
    if (spec.by_key_head) {
      rates_ = loader.load(prefix + "in_proj_ba.weight", {2 * heads, hidden_size});
    } else {
      rates_ = loader.load(prefix + "in_proj_b.weight", {heads, hidden_size});
      steps_ = loader.load(prefix + "in_proj_a.weight", {heads, hidden_size});
    }
    conv_ = loader.load(prefix + "conv1d.weight", {spec.channels(), 1, spec.kernel});
    log_decay_ = loader.load(prefix + "A_log", {heads});
    step_bias_ = loader.load(prefix + "dt_bias", {heads});
    norm_ = load_norm(loader, {.kind = NormKind::kRms, .eps = spec.eps}, prefix + "norm",
                      spec.value_dim);
  }

  Tensor operator()(const Tensor& x, const Project& project, MixerState& state) const override {
    const int64_t per_key = spec_.value_heads / spec_.key_heads;
    Tensor mixed, gate, rate, step;
    if (spec_.by_key_head) {
      const std::vector<Tensor> parts =
          project(Role::kMixerIn, x)
              .unflatten(-1, {spec_.key_heads, -1})
              .split_with_sizes({spec_.key_dim, spec_.key_dim, per_key * spec_.value_dim,
                                 per_key * spec_.value_dim},
                                -1);
      mixed = at::cat({parts[0].flatten(2), parts[1].flatten(2), parts[2].flatten(2)}, -1);
      gate = parts[3].flatten(2);
      const Tensor both = kernels::affine(x, rates_).unflatten(-1, {spec_.key_heads, 2, per_key});
      rate = both.select(3, 0).flatten(2);
      step = both.select(3, 1).flatten(2);
    } else {
      mixed = project(Role::kMixerIn, x);
      gate = project(Role::kMixerGate, x);
      rate = kernels::affine(x, rates_);
      step = kernels::affine(x, steps_);
    }
    mixed = at::silu(causal_convolution(mixed, conv_, {}, state.inputs));
    const std::vector<Tensor> parts =
        mixed.split_with_sizes({spec_.key_rows(), spec_.key_rows(), spec_.value_rows()}, -1);
    const auto shared = [&](const Tensor& of_keys) {
      return unit_length(in_heads(of_keys, spec_.key_heads)).repeat_interleave(per_key, 1);
    };
    const Tensor query = shared(parts[0]) / std::sqrt(static_cast<double>(spec_.key_dim));
    const Tensor decay = log_decay_.to(at::kFloat).exp().neg() *
                         at::softplus(step.to(at::kFloat) + step_bias_.to(at::kFloat));
    const Tensor beta = at::sigmoid(rate).to(at::kFloat);
    const Tensor y = gated_scan(query, shared(parts[1]), in_heads(parts[2], spec_.value_heads),
                                decay.transpose(1, 2), beta.transpose(1, 2), state.sums)
                         .transpose(1, 2)
                         .to(x.scalar_type());
    return gated(norm_(y), gate.view_as(y)).flatten(2);
  }

 private:
  DeltaNetSpec spec_;
  Tensor rates_, steps_;  // [value_heads, hidden_size]
  Tensor conv_;
  Tensor log_decay_, step_bias_;
  Norm norm_;
};

class KimiDelta : public Mixer {
 public:
  KimiDelta(const KimiDeltaSpec& spec, const WeightLoader& loader, const std::string& prefix,
            int64_t hidden_size)
      : spec_(spec) {
    const int64_t width = spec.width();
    std::vector<Tensor> parts;
    for (const char part : {'q', 'k', 'v'}) {
      parts.push_back(
          loader.load(fmt::format("{}{}_conv1d.weight", prefix, part), {width, 1, spec.kernel}));
    }
    if (parts.front().defined()) conv_ = at::cat(parts);
    decay_in_ = loader.load(prefix + "f_a_proj.weight", {spec.head_dim, hidden_size});
    decay_out_ = loader.load(prefix + "f_b_proj.weight", {width, spec.head_dim});
    step_bias_ = loader.load(prefix + "dt_bias", {width});
    log_decay_ = loader.load(prefix + "A_log", {1, 1, spec.heads, 1});
    rates_ = loader.load(prefix + "b_proj.weight", {spec.heads, hidden_size});
    gate_in_ = loader.load(prefix + "g_a_proj.weight", {spec.head_dim, hidden_size});
    gate_out_ = loader.load(prefix + "g_b_proj.weight", {width, spec.head_dim});
    norm_ = load_norm(loader, {.kind = NormKind::kRmsFloat, .eps = spec.eps}, prefix + "o_norm",
                      spec.head_dim);
  }

  Tensor operator()(const Tensor& x, const Project& project, MixerState& state) const override {
    const Tensor all =
        at::cat({project(Role::kQuery, x), project(Role::kKey, x), project(Role::kValue, x)}, -1);
    const std::vector<Tensor> parts =
        at::silu(causal_convolution(all, conv_, {}, state.inputs)).chunk(3, -1);
    const Tensor query = unit_length(in_heads(parts[0], spec_.heads)) /
                         std::sqrt(static_cast<double>(spec_.head_dim));
    const Tensor steps = kernels::affine(kernels::affine(x, decay_in_), decay_out_).to(at::kFloat) +
                         step_bias_.to(at::kFloat);
    const Tensor decay = in_heads(at::softplus(steps), spec_.heads) *
                         log_decay_.to(at::kFloat).exp().neg().view({1, spec_.heads, 1, 1});
    const Tensor beta = at::sigmoid(kernels::affine(x, rates_)).to(at::kFloat).transpose(1, 2);
    const Tensor y =
        from_heads(gated_scan(query, unit_length(in_heads(parts[1], spec_.heads)),
                              in_heads(parts[2], spec_.heads), decay, beta, state.sums));
    const Tensor gate = kernels::affine(kernels::affine(x, gate_in_), gate_out_);
    return (norm_(y.unflatten(-1, {spec_.heads, -1})).flatten(2) * at::sigmoid(gate.to(at::kFloat)))
        .to(x.scalar_type());
  }

 private:
  KimiDeltaSpec spec_;
  Tensor conv_;  // of queries, keys, values, one after the other
  Tensor decay_in_, decay_out_, step_bias_, log_decay_;
  Tensor rates_;  // [heads, hidden_size]
  Tensor gate_in_, gate_out_;
  Norm norm_;
};

class ShortConv : public Mixer {
 public:
  ShortConv(const ShortConvSpec& spec, const WeightLoader& loader, const std::string& prefix,
            int64_t hidden_size)
      : conv_(loader.load(prefix + "conv.weight", {hidden_size, 1, spec.kernel})) {
    if (spec.bias) bias_ = loader.load(prefix + "conv.bias", {hidden_size});
  }

  Tensor operator()(const Tensor& x, const Project& project, MixerState& state) const override {
    const std::vector<Tensor> parts = project(Role::kMixerIn, x).chunk(3, -1);
    return parts[1] * causal_convolution(parts[0] * parts[2], conv_, bias_, state.inputs);
  }

 private:
  Tensor conv_, bias_;
};

class Mamba2 : public Mixer {
 public:
  Mamba2(const Mamba2Spec& spec, const WeightLoader& loader, const std::string& prefix)
      : spec_(spec),
        conv_(loader.load(prefix + "conv1d.weight", {spec.channels(), 1, spec.kernel})),
        log_decay_(loader.load(prefix + "A_log", {spec.heads})),
        step_bias_(loader.load(prefix + "dt_bias", {spec.heads})),
        skip_(loader.load(prefix + "D", {spec.heads})) {
    if (spec.conv_bias) conv_bias_ = loader.load(prefix + "conv1d.bias", {spec.channels()});
    if (spec.gate != Mamba2Spec::Gate::kAlone) {
      weight_ = loader.load(prefix + "norm.weight", {spec.width()});
    }
  }

  Tensor operator()(const Tensor& x, const Project& project, MixerState& state) const override {
    Tensor projected = project(Role::kMixerIn, x);
    if (!spec_.multipliers.empty()) projected = projected * multipliers(x.options());
    const std::vector<Tensor> parts =
        projected.split_with_sizes({spec_.width(), spec_.channels(), spec_.heads}, -1);
    const Tensor mixed = at::silu(causal_convolution(parts[1], conv_, conv_bias_, state.inputs));
    const int64_t of_groups = spec_.groups * spec_.state;
    const std::vector<Tensor> inner =
        mixed.split_with_sizes({spec_.width(), of_groups, of_groups}, -1);
    const auto shared = [&](const Tensor& of_group) {
      return in_heads(of_group, spec_.groups)
          .repeat_interleave(spec_.heads / spec_.groups, /*dim=*/1);
    };
    const Tensor step = at::softplus(parts[2].to(at::kFloat) + step_bias_.to(at::kFloat))
                            .clamp(spec_.least_step, spec_.largest_step)
                            .transpose(1, 2);
    const Tensor value = in_heads(inner[0], spec_.heads);
    const Tensor decay = step * log_decay_.to(at::kFloat).exp().neg().unsqueeze(-1);
    const Tensor y = gated_scan(shared(inner[2]), shared(inner[1]), value * step.unsqueeze(-1),
                                decay, /*beta=*/{}, state.sums) +
                     value * skip_.to(at::kFloat).view({-1, 1, 1});
    return with_gate(from_heads(y), parts[0]);
  }

 private:
  // Of each row that the first layer makes.
  Tensor multipliers(const at::TensorOptions& options) const {
    const int64_t of_groups = spec_.groups * spec_.state;
    const int64_t sizes[] = {spec_.width(), spec_.width(), of_groups, of_groups, spec_.heads};
    std::vector<Tensor> parts;
    for (size_t i = 0; i < std::size(sizes); ++i) {
      parts.push_back(at::full({sizes[i]}, spec_.multipliers.at(i), options));
    }
    return at::cat(parts);
  }

  Tensor with_gate(Tensor y, const Tensor& gate) const {
    using Gate = Mamba2Spec::Gate;
    const Tensor open = at::silu(gate.to(at::kFloat));
    if (spec_.gate != Gate::kAfterNorm) y = y * open;
    if (spec_.gate == Gate::kAlone) return y.to(gate.scalar_type());
    y = y.unflatten(-1, {spec_.norm_groups, -1});
    y = (y * y.square().mean(-1, /*keepdim=*/true).add(spec_.eps).rsqrt()).flatten(-2);
    y = y * weight_.to(at::kFloat);
    return (spec_.gate == Gate::kAfterNorm ? y * open : y).to(gate.scalar_type());
  }

  Mamba2Spec spec_;
  Tensor conv_, conv_bias_;
  Tensor log_decay_, step_bias_;
  Tensor skip_;    // [heads]
  Tensor weight_;  // [width] of the norm
};

}  // namespace

std::unique_ptr<Mixer> make_mixer(const MixerSpec& spec, const WeightLoader& loader,
                                  const std::string& prefix, int64_t hidden_size) {
  if (const auto* const net = std::get_if<DeltaNetSpec>(&spec)) {
    return std::make_unique<DeltaNet>(*net, loader, prefix + net->prefix, hidden_size);
  }
  if (const auto* const net = std::get_if<KimiDeltaSpec>(&spec)) {
    return std::make_unique<KimiDelta>(*net, loader, prefix + net->prefix, hidden_size);
  }
  if (const auto* const conv = std::get_if<ShortConvSpec>(&spec)) {
    return std::make_unique<ShortConv>(*conv, loader, prefix + conv->prefix, hidden_size);
  }
  if (const auto* const mamba = std::get_if<Mamba2Spec>(&spec)) {
    return std::make_unique<Mamba2>(*mamba, loader, prefix + mamba->prefix);
  }
  return nullptr;
}

}  // namespace prune::models
