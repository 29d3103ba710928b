#include "decoder_block.h"

#include <prune/kernels/packed_weight.h>
#include <prune/kernels/product.h>
#include <prune/models/block_sites.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "attention.h"
#include "rope.h"

namespace prune::models {
namespace {

Tensor times(const Tensor& x, double factor) { return factor == 1.0 ? x : x.mul(factor); }

// @param query [.., tokens, head_dim], the first token at position `first`
Tensor with_temperature(const Tensor& query, const AttentionSpec& attention, int64_t first) {
  if (attention.temperature_beta == 0.0) return query;
  const Tensor position =
      at::arange(first, first + query.size(-2), query.options().dtype(at::kFloat))
          .add(static_cast<double>(attention.temperature_first));
  const Tensor times_read =
      position.div(static_cast<double>(attention.temperature_positions)).floor();
  const Tensor temperature = times_read.log1p().mul(attention.temperature_beta).add(1.0);
  return query * temperature.unsqueeze(1).to(query.scalar_type());
}

Tensor through_experts(const Block& block, const SiteActivations& at, BlockObserver* observer) {
  // A few tokens pass few of many experts.
  const Tensor passed = std::get<0>(at::_unique(at.routes.experts)).cpu();
  for (int64_t i = 0; i < passed.numel(); ++i) {
    const int64_t expert = passed.const_data_ptr<int64_t>()[i];
    block.load_expert(expert);
    block.run_expert(expert, at, at.sum, observer);
  }
  return block.leave(at);
}

std::vector<int64_t> sites_of(const BlockSpec& spec) {
  std::set<int64_t> sites;
  for (const LinearSpec& layer : spec.linears) {
    if (layer.expert < 0) sites.insert(layer.site);
  }
  return {sites.begin(), sites.end()};
}

}  // namespace

Tensor Linear::operator()(const Tensor& x) const {
  return packed ? packed->affine(x, bias) : kernels::affine(x, weight, bias);
}

double ExpertLoad::mean_squared_gate(int64_t expert) const {
  const double count = tokens[expert].item<double>();
  return count > 0 ? squared_gates[expert].item<double>() / kUnits / count : 0.0;
}

SiteActivations Block::run_sites(const Tensor& hidden, BlockObserver* observer) const {
  SiteActivations at = enter(hidden);
  for (const int64_t site : sites()) {
    if (observer != nullptr) observer->on_site(site, at.x);
    at = pass(site, std::move(at), observer);
  }
  return at;
}

void Block::run_expert(int64_t expert, const SiteActivations& at, const Tensor& sum,
                       BlockObserver* observer) const {
  ExpertRows rows = rows_of(expert, at);
  if (observer != nullptr) observer->on_expert_site(first_site_of(expert), rows);
  rows.x = inner(expert, rows.x, observer);
  if (observer != nullptr) observer->on_expert_site(last_site_of(expert), rows);
  add_output_(expert, rows, sum, observer);
}

Tensor Block::forward(const Tensor& hidden, BlockObserver* observer) const {
  const SiteActivations at = run_sites(hidden, observer);
  return experts() == 0 ? at.stream : through_experts(*this, at, observer);
}

std::pair<Tensor, Tensor> BlockCache::append(const Tensor& key, const Tensor& value) {
  const int64_t end = length_ + key.size(2);
  const auto room = [&](const Tensor& cached, const Tensor& next) {
    if (cached.defined() && cached.size(2) >= end) return cached;
    std::vector<int64_t> sizes = next.sizes().vec();
    sizes[2] = std::max(2 * length_, end);
    const Tensor larger = at::empty(sizes, next.options());
    if (length_ > 0) larger.narrow(2, 0, length_).copy_(cached.narrow(2, 0, length_));
    return larger;
  };
  keys_ = room(keys_, key);
  values_ = room(values_, value);
  keys_.narrow(2, length_, key.size(2)).copy_(key);
  values_.narrow(2, length_, key.size(2)).copy_(value);
  length_ = end;
  return {keys_.narrow(2, 0, end), values_.narrow(2, 0, end)};
}

DecoderBlock::DecoderBlock(const BlockSpec& spec, const WeightLoader& loader,
                           const std::string& prefix, int64_t hidden_size, ExpertWeights experts)
    : spec_(spec),
      hidden_size_(hidden_size),
      sites_(sites_of(spec)),
      loader_(loader),
      prefix_(prefix),
      expert_weights_(experts),
      mixer_(make_mixer(spec.mixer, loader, prefix, hidden_size)) {
  for (const LinearSpec& linear : spec.linears) {
    const auto role = static_cast<size_t>(linear.role);
    if (linear.expert < 0) by_role_[role] = linears_.size();
    if (linear.expert == 0) in_expert_[role] = layers_of_expert_++;
    const bool comes_later = linear.expert >= 0 && experts == ExpertWeights::kOnDemand;
    linears_.push_back(comes_later ? linear.without_weight(prefix)
                                   : loader.load_linear(prefix, linear));
  }
  const auto load = [&](const std::string& name, const NormSpec& norm_spec,
                        std::optional<Norm>& norm) {
    if (!name.empty()) norm = load_norm(loader, norm_spec, prefix + name, hidden_size);
  };
  load(spec.names.before_attention, spec.norm, before_attention_);
  load(spec.names.before_ffn, spec.norm, before_ffn_);
  NormSpec after = spec.norm;
  after.eps = spec.eps_after.value_or(after.eps);
  load(spec.names.after_attention, after, after_attention_);
  load(spec.names.after_ffn, after, after_ffn_);
  if (const auto& latent = spec.attention.latent) {
    const auto load_latent = [&](const std::string& name, int64_t rank) {
      return load_norm(loader, latent->norm, prefix + name, rank);
    };
    if (latent->query_rank > 0) {
      query_norm_ = load_latent(spec.names.query_latent, latent->query_rank);
    }
    key_norm_ = load_latent(spec.names.key_latent, latent->key_rank);
  }
  if (spec.attention.sinks) {
    sinks_ = loader.load(prefix + spec.names.sinks, {spec.attention.heads});
  }
  if (spec.attention.output_gate == OutputGate::kHeads) {
    head_gates_ = loader.load(prefix + spec.names.head_gates, {spec.attention.heads, hidden_size});
  }
  if (spec.moe) {
    router_.emplace(spec.moe->router, loader, prefix, hidden_size);
    const std::string& gate = spec.moe->shared_gate;
    if (!gate.empty()) shared_gate_ = loader.load(prefix + gate, {1, hidden_size});
    if (const int64_t latent = spec.moe->latent_size; latent > 0) {
      const auto load_layer = [&](const std::string& name, int64_t rows, int64_t cols) {
        return loader.load_linear(
            prefix, {.name = name, .rows = rows, .cols = cols, .bias = spec.moe->latent_bias});
      };
      to_latent_ = load_layer(spec.moe->to_latent, latent, hidden_size);
      from_latent_ = load_layer(spec.moe->from_latent, hidden_size, latent);
    }
    load(spec.moe->norm_before, spec.norm, before_experts_);
    load(spec.moe->norm_after, spec.norm, after_experts_);
    load(spec.moe->norm_shared, spec.norm, after_shared_);
  }
  if (!spec.scalar.empty()) scalar_ = loader.load(prefix + spec.scalar, {1});
  if (const auto& input = spec.layer_input) {
    layer_gate_ = loader.load(prefix + input->gate, {input->width, hidden_size});
    layer_projection_ = loader.load(prefix + input->projection, {hidden_size, input->width});
    load(input->norm, spec.norm, after_layer_input_);
  }
  if (spec.attention.value_norm) {
    value_norm_ = Norm{.spec = spec.attention.qk_norm_spec, .weight = {}, .bias = {}};
  }
  if (spec.attention.qk_norm != QkNorm::kNone) {
    query_norm_ =
        load_qk_norm(loader, spec.attention, prefix + spec.names.query, spec.attention.heads);
    if (spec.attention.key_reuse != KeyReuse::kReads) {
      key_norm_ =
          load_qk_norm(loader, spec.attention, prefix + spec.names.key, spec.attention.kv_heads);
    }
  }
}

SiteActivations DecoderBlock::enter(const Tensor& stream) const {
  if (!spec_.mixes()) return before_ffn(stream);
  const bool reads_stream =
      spec_.topology == Topology::kPostSum || spec_.topology == Topology::kPostBranch;
  if (reads_stream) return {stream, stream};
  const Tensor x = (*before_attention_)(hidden_of(stream));
  return {spec_.normed_residual ? x : stream, times(x, spec_.attention.input_multiplier)};
}

SiteActivations DecoderBlock::pass(int64_t site, SiteActivations at,
                                   BlockObserver* observer) const {
  return pass(site, std::move(at), observer, /*cache=*/nullptr);
}

SiteActivations DecoderBlock::pass(int64_t site, SiteActivations at, BlockObserver* observer,
                                   BlockCache* cache) const {
  if (site == kAttentionSite) {
    const Mamba2Spec* const beside = spec_.beside_attention();
    if (beside != nullptr) {
      return {.stream = at.stream,
              .x = times((*before_attention_)(at.stream), beside->input_multiplier),
              .beside = context(at.x, at.stream, observer, cache)};
    }
    if (mixer_) return {at.stream, mixed(at.x, observer, cache)};
    if (spec_.attention.latent) return latents(std::move(at), observer);
    const Tensor y = context(at.x, at.stream, observer, cache);
    return {at.stream, y};
  }
  if (site == kQueryLatentSite) return at_key_latent(at.stream, at.x, at.beside);
  if (site == kKeyLatentSite) return {at.stream, context_of_latents(at, observer, cache)};
  if (site == kMixerSite) {
    return {.stream = at.stream, .x = at.beside, .beside = mixed(at.x, observer, cache)};
  }
  if (site == kOutSite) {
    const Tensor y = times(linear(Role::kOut, at.x, observer), spec_.attention.output_multiplier);
    if (spec_.beside_attention() != nullptr) {
      return {.stream = at.stream, .x = at.beside, .beside = y};
    }
    return after_attention(at.stream, y, observer);
  }
  if (site == kMixerOutSite) {
    const Tensor y =
        times(linear(Role::kMixerOut, at.x, observer), spec_.beside_attention()->output_multiplier);
    return after_attention(at.stream, y + at.beside, observer);
  }
  if (site == kFfnSite) return {at.stream, ffn_inner(spec_.ffn, at.x, observer)};
  const Tensor y = times(linear(Role::kDown, at.x, observer), spec_.ffn.output_multiplier);
  if (spec_.moe) return before_experts(at.stream, y);
  return {after_ffn(at.stream, y), {}};
}

Tensor DecoderBlock::extend(const Tensor& hidden, BlockCache& cache) const {
  SiteActivations at = enter(hidden);
  for (const int64_t site : sites()) at = pass(site, std::move(at), nullptr, &cache);
  if (!spec_.has_attention()) cache.count(hidden.size(1));
  return experts() == 0 ? at.stream : through_experts(*this, at, nullptr);
}

Tensor DecoderBlock::hidden_of(const Tensor& stream) const {
  return stream.size(-1) == hidden_size_ ? stream : stream.narrow(-1, 0, hidden_size_);
}

Tensor DecoderBlock::with_hidden(const Tensor& hidden, const Tensor& stream) const {
  if (stream.size(-1) == hidden_size_) return hidden;
  return at::cat({hidden, stream.slice(-1, hidden_size_)}, -1);
}

Tensor DecoderBlock::ffn_input(const Tensor& hidden) const {
  return before_ffn_ ? (*before_ffn_)(hidden) : hidden;
}

Tensor DecoderBlock::expert_input(const Tensor& hidden) const {
  return before_experts_ ? (*before_experts_)(hidden) : ffn_input(hidden);
}

SiteActivations DecoderBlock::before_ffn(const Tensor& stream) const {
  if (spec_.ffn.width == 0) {
    return spec_.moe ? before_experts(stream, /*shared=*/{}) : SiteActivations{stream, {}};
  }
  const Tensor x = ffn_input(hidden_of(stream));
  return {spec_.normed_residual ? x : stream, x};
}

SiteActivations DecoderBlock::before_experts(const Tensor& stream, const Tensor& shared) const {
  const Tensor hidden = hidden_of(stream);
  const bool router_has_norm = !spec_.moe->router.input_scale.empty();
  const Tensor x = (router_has_norm ? hidden : expert_input(hidden)).flatten(0, 1);
  SiteActivations at{.stream = stream, .x = {}, .routes = (*router_)(x)};
  const Tensor of_experts =
      at::zeros({hidden.size(0), hidden.size(1), expert_size()}, hidden.options());
  // A tensor of its own: experts add to it in place, which autograd forbids for a product's output.
  if (!shared.defined()) {
    at.sum = of_experts;
  } else if (sums_apart()) {
    at.sum = at::cat({of_experts, after_shared_ ? (*after_shared_)(shared) : shared}, -1);
  } else if (shared_gate_.defined()) {
    at.sum =
        shared *
        at::sigmoid(kernels::affine(x, shared_gate_)).view_as(hidden.select(-1, 0)).unsqueeze(-1);
  } else {
    at.sum = shared.clone();
  }
  return at;
}

ExpertRows DecoderBlock::rows_at(const Tensor& token, const Tensor& gate, const Tensor& input_gate,
                                 const SiteActivations& at) const {
  Tensor x = expert_input(hidden_of(at.stream.flatten(0, 1).index_select(0, token)));
  if (spec_.moe->latent_size > 0) x = to_latent_(x);
  if (input_gate.defined()) x = x * input_gate.unsqueeze(1).to(x.scalar_type());
  return {.token = token,
          .gate = gate,
          .x = x,
          .samples = at.stream.size(0),
          .seqlen = at.stream.size(1)};
}

ExpertRows DecoderBlock::rows_of(int64_t expert, const SiteActivations& at) const {
  const Tensor found = at.routes.experts.eq(expert).nonzero();
  const Tensor token = found.select(1, 0);
  const auto of_choice = [&](const Tensor& gates) {
    return gates.defined() ? gates.index({token, found.select(1, 1)}) : Tensor();
  };
  return rows_at(token, of_choice(at.routes.gates), of_choice(at.routes.input_gates), at);
}

ExpertRows DecoderBlock::spread_rows(int64_t stride, const SiteActivations& at) const {
  const Tensor token =
      at::arange(0, at.routes.experts.size(0), stride, at.routes.experts.options());
  const Tensor& input_gates = at.routes.input_gates;
  const Tensor of_best =
      input_gates.defined() ? input_gates.select(1, 0).index_select(0, token) : Tensor();
  return rows_at(token, at::ones({token.size(0)}, at.routes.gates.options()), of_best, at);
}

size_t DecoderBlock::first_layer_of(int64_t expert) const {
  const auto after = static_cast<size_t>(spec_.experts() - expert);
  return linears_.size() - after * layers_of_expert_;
}

void DecoderBlock::load_expert(int64_t expert) const {
  const size_t first = first_layer_of(expert);
  for (size_t i = first; i < first + layers_of_expert_; ++i) {
    Linear& layer = linears_[i];
    if (layer.weight.defined() || layer.packed) continue;
    layer = loader_.load_linear(prefix_, spec_.linears[i]);
    loader_.drop(spec_.linears[i].weight_in(prefix_).name);
    if (on_load_) on_load_(layer);
  }
}

void DecoderBlock::drop_expert(int64_t expert) const {
  if (expert_weights_ == ExpertWeights::kResident) return;
  const size_t first = first_layer_of(expert);
  for (size_t i = first; i < first + layers_of_expert_; ++i) {
    linears_[i].weight.reset();
    linears_[i].packed.reset();
  }
}

Tensor DecoderBlock::inner(int64_t expert, const Tensor& x, BlockObserver* observer) const {
  return ffn_inner(spec_.moe->expert, x, observer, expert);
}

void DecoderBlock::add_output_(int64_t expert, const ExpertRows& rows, const Tensor& sum,
                               BlockObserver* observer) const {
  const Tensor y = linear(Role::kDown, rows.x, observer, expert) * rows.gate.unsqueeze(1);
  const Tensor of_experts = sum.narrow(-1, 0, expert_size()).flatten(0, 1);
  of_experts.index_add_(0, rows.token, y.to(sum.scalar_type()));
}

Tensor DecoderBlock::leave(const SiteActivations& at) const {
  if (!sums_apart()) return after_ffn(at.stream, at.sum);
  Tensor y = at.sum.narrow(-1, 0, expert_size());
  if (spec_.moe->latent_size > 0) y = from_latent_(y);
  if (after_experts_) y = (*after_experts_)(y);
  const bool has_shared = at.sum.size(-1) > expert_size();
  return after_ffn(at.stream, has_shared ? at.sum.slice(-1, expert_size()) + y : y);
}

bool DecoderBlock::sums_apart() const {
  return spec_.moe->latent_size > 0 || !spec_.moe->norm_after.empty();
}

int64_t DecoderBlock::expert_size() const { return spec_.moe->expert_size(hidden_size_); }

SiteActivations DecoderBlock::after_attention(const Tensor& stream, Tensor y,
                                              BlockObserver* observer) const {
  switch (spec_.topology) {
    case Topology::kParallelOne: {
      // The feed-forward reads the first site, too; its norm costs less than keeping it.
      Tensor inner = ffn_inner(spec_.ffn, (*before_attention_)(stream), observer);
      return {stream + y, inner};
    }
    case Topology::kParallelTwo: {
      Tensor x = (*before_ffn_)(stream);
      return {stream + y, x};
    }
    case Topology::kPostSum:
      return before_ffn((*after_attention_)(stream + y));
    default:
      if (after_attention_) y = (*after_attention_)(y);
      return before_ffn(
          with_hidden(hidden_of(stream) + times(y, spec_.residual_multiplier), stream));
  }
}

Tensor DecoderBlock::after_ffn(const Tensor& stream, const Tensor& y) const {
  if (spec_.topology == Topology::kPostSum) return (*after_ffn_)(stream + y);
  const Tensor branch = after_ffn_ ? (*after_ffn_)(y) : y;
  Tensor hidden = hidden_of(stream) + times(branch, spec_.residual_multiplier);
  if (!spec_.layer_input) {
    return with_hidden(scalar_.defined() ? hidden * scalar_ : hidden, stream);
  }
  const int64_t width = spec_.layer_input->width;
  const Tensor inputs = stream.narrow(-1, hidden_size_, width * spec_.layer_input->blocks);
  const Tensor own = inputs.slice(-1, 0, width);
  const Tensor gate = spec_.layer_input->activation(kernels::affine(hidden, layer_gate_)) * own;
  hidden = hidden + (*after_layer_input_)(kernels::affine(gate, layer_projection_));
  if (scalar_.defined()) hidden = hidden * scalar_;
  const int64_t behind = hidden_size_ + inputs.size(-1);
  return at::cat({hidden, inputs.slice(-1, width), own, stream.slice(-1, behind)}, -1);
}

Tensor DecoderBlock::linear(Role role, const Tensor& x, BlockObserver* observer,
                            int64_t expert) const {
  const auto which = static_cast<size_t>(role);
  const Linear& layer = linears_[expert < 0 ? by_role_[which].value()
                                            : first_layer_of(expert) + in_expert_[which].value()];
  Tensor y = layer(x);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

Tensor DecoderBlock::ffn_inner(const FfnSpec& ffn, const Tensor& x, BlockObserver* observer,
                               int64_t expert) const {
  const auto first = [&](Role role) { return linear(role, x, observer, expert); };
  if (ffn.form == FfnForm::kPlain) return ffn.activation(first(Role::kFc1));
  Tensor gate, up;
  if (ffn.form == FfnForm::kFused) {
    const std::vector<Tensor> halves = first(Role::kGateUp).chunk(2, -1);
    gate = halves[0];
    up = halves[1];
  } else {
    gate = first(Role::kGate);
    up = first(Role::kUp);
  }
  if (ffn.limit > 0.0) {
    if (!ffn.limits_activation) gate = gate.clamp_max(ffn.limit);
    up = up.clamp(-ffn.limit, ffn.limit);
  }
  if (ffn.up_offset != 0.0) up = up + ffn.up_offset;
  gate = ffn.activation(times(gate, ffn.gate_multiplier));
  if (ffn.limits_activation && ffn.limit > 0.0) gate = gate.clamp_max(ffn.limit);
  return gate * up;
}

DecoderBlock::Heads DecoderBlock::heads_of(const Tensor& x, BlockObserver* observer) const {
  const AttentionSpec& attention = spec_.attention;
  if (attention.form == QkvForm::kGrouped) {
    const int64_t queries = attention.heads / attention.kv_heads;
    const Tensor fused =
        linear(Role::kQkv, x, observer)
            .view({x.size(0), x.size(1), attention.kv_heads, queries + 2, attention.head_dim})
            .permute({0, 2, 3, 1, 4});
    return {fused.slice(2, 0, queries).flatten(1, 2), fused.select(2, queries),
            fused.select(2, queries + 1)};
  }
  Tensor query, key, value, gate;
  if (attention.form == QkvForm::kConcat) {
    const std::vector<Tensor> parts =
        linear(Role::kQkv, x, observer)
            .split_with_sizes({attention.query_rows(), attention.key_rows(), attention.key_rows()},
                              -1);
    query = parts[0];
    key = parts[1];
    value = parts[2];
  } else {
    query = linear(Role::kQuery, x, observer);
    if (attention.output_gate == OutputGate::kInQuery) {
      const std::vector<Tensor> halves = query.unflatten(-1, {attention.heads, -1}).chunk(2, -1);
      query = halves[0].flatten(2);
      gate = halves[1].flatten(2);
    }
    // The query is scaled with its bias and rounded to the model's dtype, before attention.
    if (attention.scales_query) query = query.mul(attention.scale);
    if (attention.key_reuse == KeyReuse::kReads) {
      return {.query = split_heads(query, attention.heads), .key = {}, .value = {}};
    }
    key = times(linear(Role::kKey, x, observer), attention.key_multiplier);
    value = attention.form == QkvForm::kKeyIsValue ? key : linear(Role::kValue, x, observer);
    if (attention.value_scale != 1.0) value = value * attention.value_scale;
  }
  if (attention.output_gate == OutputGate::kLayer) gate = linear(Role::kOutputGate, x, observer);
  if (attention.output_gate == OutputGate::kHeads) {
    gate = kernels::affine(x, head_gates_).repeat_interleave(attention.value_size(), /*dim=*/-1);
  }
  if (attention.qk_norm == QkNorm::kFull) {
    query = (*query_norm_)(query);
    key = (*key_norm_)(key);
  }
  if (attention.clip > 0.0) {
    for (Tensor* part : {&query, &key, &value}) {
      *part = part->clamp(-attention.clip, attention.clip);
    }
  }
  return {split_heads(query, attention.heads), split_heads(key, attention.kv_heads),
          split_heads(value, attention.kv_heads), gate};
}

Tensor DecoderBlock::mixed(const Tensor& x, BlockObserver* observer, BlockCache* cache) const {
  MixerState none;
  return (*mixer_)(
      x, [&](Role role, const Tensor& input) { return linear(role, input, observer); },
      cache == nullptr ? none : cache->state());
}

Tensor DecoderBlock::context(const Tensor& x, Tensor& stream, BlockObserver* observer,
                             BlockCache* cache) const {
  const AttentionSpec& attention = spec_.attention;
  const int64_t first = cache == nullptr ? 0 : cache->length();
  const int64_t end = first + x.size(1);
  Heads heads = heads_of(x, observer);
  const auto norm = [&](const Norm& by, const Tensor& y) {
    if (attention.qk_norm == QkNorm::kHead) return by(y);
    return by(y.transpose(1, 2)).transpose(1, 2);  // a weight for each head
  };
  const auto norm_both = [&] {
    if (attention.qk_norm == QkNorm::kNone || attention.qk_norm == QkNorm::kFull) return;
    heads.query = norm(*query_norm_, heads.query);
    if (heads.key.defined()) heads.key = norm(*key_norm_, heads.key);
  };
  if (attention.value_norm && heads.value.defined()) heads.value = (*value_norm_)(heads.value);
  if (!attention.norm_after_rope) norm_both();
  if (attention.rope) {
    const Rotation rotate = rotation_of(*attention.rope, first, end, x.options());
    heads.query = rotate(heads.query);
    if (heads.key.defined()) heads.key = rotate(heads.key);
  }
  if (attention.norm_after_rope) norm_both();
  const int64_t key_columns = attention.key_rows();
  if (attention.key_reuse == KeyReuse::kReads) {
    const Tensor carried = stream.narrow(-1, attention.carried_at, 2 * key_columns);
    heads.key = split_heads(carried.slice(-1, 0, key_columns), attention.kv_heads);
    heads.value = split_heads(carried.slice(-1, key_columns), attention.kv_heads);
  } else if (attention.key_reuse == KeyReuse::kStores) {
    stream = at::cat(
        {stream.slice(-1, 0, attention.carried_at), merge_heads(heads.key),
         merge_heads(heads.value), stream.slice(-1, attention.carried_at + 2 * key_columns)},
        -1);
  }
  heads.query = with_temperature(heads.query, attention, first);
  if (cache != nullptr) std::tie(heads.key, heads.value) = cache->append(heads.key, heads.value);
  const Tensor y =
      merge_heads(causal_attention(heads.query, heads.key, heads.value, attention, sinks_));
  return heads.gate.defined() ? y * at::sigmoid(heads.gate) : y;
}

SiteActivations DecoderBlock::latents(SiteActivations at, BlockObserver* observer) const {
  const Tensor key = linear(Role::kKeyLatent, at.x, observer);
  if (spec_.attention.latent->query_rank == 0) {
    return at_key_latent(at.stream, linear(Role::kQuery, at.x, observer), key);
  }
  const Tensor query = (*query_norm_)(linear(Role::kQueryLatent, at.x, observer));
  return {.stream = at.stream, .x = query, .beside = key};
}

SiteActivations DecoderBlock::at_key_latent(const Tensor& stream, const Tensor& query,
                                            const Tensor& key) const {
  const int64_t rank = spec_.attention.latent->key_rank;
  return {.stream = stream,
          .x = (*key_norm_)(key.slice(-1, 0, rank)),
          .beside = at::cat({query, key.slice(-1, rank)}, -1)};
}

Tensor DecoderBlock::context_of_latents(const SiteActivations& at, BlockObserver* observer,
                                        BlockCache* cache) const {
  const AttentionSpec& attention = spec_.attention;
  const LatentSpec& latent = *attention.latent;
  const int64_t first = cache == nullptr ? 0 : cache->length();
  std::optional<Rotation> rotation;
  if (attention.rope) {
    rotation = rotation_of(*attention.rope, first, first + at.x.size(1), at.x.options());
  }
  const auto rotate = [&](const Tensor& x) { return rotation ? (*rotation)(x) : x; };
  Tensor query = at.beside.slice(-1, 0, at.beside.size(-1) - latent.rotated_dims);
  if (latent.query_rank > 0) query = linear(Role::kQuery, query, observer);
  query = split_heads(query, attention.heads);
  query = at::cat(
      {query.slice(-1, 0, latent.plain_dims), rotate(query.slice(-1, latent.plain_dims))}, -1);
  query = with_temperature(query, attention, first);
  const Tensor key_value = split_heads(linear(Role::kKeyValue, at.x, observer), attention.heads);
  const Tensor rotated =
      rotate(at.beside.slice(-1, at.beside.size(-1) - latent.rotated_dims).unsqueeze(1));
  Tensor key = at::cat(
      {key_value.slice(-1, 0, latent.plain_dims), rotated.expand({-1, attention.heads, -1, -1})},
      -1);
  Tensor value = key_value.slice(-1, latent.plain_dims);
  if (cache != nullptr) std::tie(key, value) = cache->append(key, value);
  return merge_heads(causal_attention(query, key, value, attention));
}

}  // namespace prune::models
