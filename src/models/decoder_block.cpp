#include "decoder_block.h"

#include <prune/kernels/packed_weight.h>
#include <prune/kernels/product.h>

#include <algorithm>
#include <tuple>

#include "attention.h"
#include "block_sites.h"
#include "rope.h"

namespace prune::models {
namespace {

Tensor times(const Tensor& x, double factor) { return factor == 1.0 ? x : x.mul(factor); }

}  // namespace

Tensor Linear::operator()(const Tensor& x) const {
  return packed ? packed->affine(x, bias) : kernels::affine(x, weight, bias);
}

Tensor Block::forward(const Tensor& hidden, BlockObserver* observer) const {
  SiteActivations at = enter(hidden);
  for (int64_t site = 0; site < sites(); ++site) {
    if (observer != nullptr) observer->on_site(site, at.x);
    at = pass(site, std::move(at), observer);
  }
  return at.stream;
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
                           const std::string& prefix, int64_t hidden_size)
    : spec_(spec) {
  for (const LinearSpec& linear : spec.linears) {
    by_role_[static_cast<size_t>(linear.role)] = linears_.size();
    linears_.push_back(loader.load_linear(prefix, linear));
  }
  const auto load = [&](const std::string& name, std::optional<Norm>& norm) {
    if (!name.empty()) norm = load_norm(loader, spec.norm, prefix + name, hidden_size);
  };
  load(spec.names.before_attention, before_attention_);
  load(spec.names.before_ffn, before_ffn_);
  load(spec.names.after_attention, after_attention_);
  load(spec.names.after_ffn, after_ffn_);
  if (spec.attention.qk_norm != QkNorm::kNone) {
    query_norm_ =
        load_qk_norm(loader, spec.attention, prefix + spec.names.query, spec.attention.heads);
    key_norm_ =
        load_qk_norm(loader, spec.attention, prefix + spec.names.key, spec.attention.kv_heads);
  }
}

SiteActivations DecoderBlock::enter(const Tensor& hidden) const {
  const bool reads_stream =
      spec_.topology == Topology::kPostSum || spec_.topology == Topology::kPostBranch;
  if (reads_stream) return {hidden, hidden};
  const Tensor x = (*before_attention_)(hidden);
  return {spec_.normed_residual ? x : hidden, x};
}

SiteActivations DecoderBlock::pass(int64_t site, SiteActivations at,
                                   BlockObserver* observer) const {
  if (site == kAttentionSite) return {at.stream, context(at.x, observer, nullptr)};
  if (site == kOutSite) {
    return after_attention(at.stream, linear(Role::kOut, at.x, observer), observer);
  }
  if (site == kFfnSite && sites() == kBlockSites) return {at.stream, ffn_inner(at.x, observer)};
  return {after_ffn(at.stream, linear(Role::kDown, at.x, observer)), {}};
}

Tensor DecoderBlock::extend(const Tensor& hidden, BlockCache& cache) const {
  SiteActivations at = enter(hidden);
  at.x = context(at.x, nullptr, &cache);
  for (int64_t site = kAttentionSite + 1; site < sites(); ++site) {
    at = pass(site, std::move(at), nullptr);
  }
  return at.stream;
}

SiteActivations DecoderBlock::after_attention(const Tensor& stream, Tensor y,
                                              BlockObserver* observer) const {
  switch (spec_.topology) {
    case Topology::kParallelOne: {
      // The feed-forward reads the first site, too; its norm costs less than keeping it.
      Tensor inner = ffn_inner((*before_attention_)(stream), observer);
      return {stream + y, inner};
    }
    case Topology::kParallelTwo: {
      Tensor x = (*before_ffn_)(stream);
      return {stream + y, x};
    }
    case Topology::kPostSum: {
      const Tensor h = (*after_attention_)(stream + y);
      return {h, h};
    }
    case Topology::kPostBranch: {
      const Tensor h = stream + (*after_attention_)(y);
      return {h, h};
    }
    default: {
      if (after_attention_) y = (*after_attention_)(y);
      const Tensor h = stream + times(y, spec_.residual_multiplier);
      const Tensor x = (*before_ffn_)(h);
      return {spec_.normed_residual ? x : h, x};
    }
  }
}

Tensor DecoderBlock::after_ffn(const Tensor& stream, const Tensor& y) const {
  if (spec_.topology == Topology::kPostSum) return (*after_ffn_)(stream + y);
  const Tensor branch = after_ffn_ ? (*after_ffn_)(y) : y;
  return stream + times(branch, spec_.residual_multiplier);
}

Tensor DecoderBlock::linear(Role role, const Tensor& x, BlockObserver* observer) const {
  const Linear& layer = linears_[by_role_[static_cast<size_t>(role)].value()];
  Tensor y = layer(x);
  if (observer != nullptr) observer->on_output(layer, y);
  return y;
}

Tensor DecoderBlock::ffn_inner(const Tensor& x, BlockObserver* observer) const {
  const Activation act = spec_.ffn.activation;
  switch (spec_.ffn.form) {
    case FfnForm::kGated: {
      const Tensor gate = act(linear(Role::kGate, x, observer));
      return gate * linear(Role::kUp, x, observer);
    }
    case FfnForm::kFused: {
      const std::vector<Tensor> halves = linear(Role::kGateUp, x, observer).chunk(2, -1);
      return act(halves[0]) * halves[1];
    }
    default:
      return act(linear(Role::kFc1, x, observer));
  }
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
  Tensor query, key, value;
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
    // The query is scaled with its bias and rounded to the model's dtype, before attention.
    if (attention.scales_query) query = query.mul(attention.scale);
    key = linear(Role::kKey, x, observer);
    value = linear(Role::kValue, x, observer);
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
          split_heads(value, attention.kv_heads)};
}

Tensor DecoderBlock::context(const Tensor& x, BlockObserver* observer, BlockCache* cache) const {
  const AttentionSpec& attention = spec_.attention;
  const int64_t first = cache == nullptr ? 0 : cache->length();
  const int64_t end = first + x.size(1);
  Heads heads = heads_of(x, observer);
  const auto norm = [&](const Norm& by, const Tensor& y) {
    if (attention.qk_norm == QkNorm::kHead) return by(y);
    return by(y.transpose(1, 2)).transpose(1, 2);  // a weight for each head
  };
  if (attention.qk_norm != QkNorm::kNone && attention.qk_norm != QkNorm::kFull) {
    heads.query = norm(*query_norm_, heads.query);
    heads.key = norm(*key_norm_, heads.key);
  }
  if (attention.rope) {
    const Rotation rotate = rotation_of(*attention.rope, first, end, x.options());
    heads.query = rotate(heads.query);
    heads.key = rotate(heads.key);
  }
  if (attention.temperature_beta != 0.0) {
    const Tensor position = at::arange(first, end, x.options().dtype(at::kFloat));
    const Tensor times_read =
        position.div(static_cast<double>(attention.temperature_positions)).floor();
    const Tensor temperature = times_read.log1p().mul(attention.temperature_beta).add(1.0);
    heads.query = heads.query * temperature.unsqueeze(1).to(x.scalar_type());
  }
  if (cache != nullptr) std::tie(heads.key, heads.value) = cache->append(heads.key, heads.value);
  return merge_heads(causal_attention(heads.query, heads.key, heads.value, attention));
}

}  // namespace prune::models
