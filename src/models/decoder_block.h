#pragma once

#include <prune/models/block.h>
#include <prune/models/decoder_spec.h>
#include <prune/models/weight_loader.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "norm.h"

namespace prune::models {

/// A block of any family, as its spec says (src/models/README.md, "One decoder").
class DecoderBlock : public Block {
 public:
  /// @param prefix  of the block's tensors
  /// @param hidden_size  of the stream
  DecoderBlock(const BlockSpec& spec, const WeightLoader& loader, const std::string& prefix,
               int64_t hidden_size);

  SiteActivations enter(const Tensor& hidden) const override;
  SiteActivations pass(int64_t site, SiteActivations at, BlockObserver* observer) const override;
  Tensor extend(const Tensor& hidden, BlockCache& cache) const override;
  std::vector<Linear>& linears() override { return linears_; }
  const std::vector<Linear>& linears() const override { return linears_; }

 private:
  struct Heads {
    Tensor query, key, value;  // [samples, heads, seqlen, head_dim]
  };

  Tensor linear(Role role, const Tensor& x, BlockObserver* observer) const;
  Heads heads_of(const Tensor& x, BlockObserver* observer) const;
  /// What attention gives to its last layer. @param cache of the tokens before, if there may be some
  Tensor context(const Tensor& x, BlockObserver* observer, BlockCache* cache) const;
  /// What the feed-forward's last layer reads.
  Tensor ffn_inner(const Tensor& x, BlockObserver* observer) const;
  SiteActivations after_attention(const Tensor& stream, Tensor y, BlockObserver* observer) const;
  Tensor after_ffn(const Tensor& stream, const Tensor& y) const;

  BlockSpec spec_;
  std::vector<Linear> linears_;
  std::array<std::optional<size_t>, 10> by_role_;
  std::optional<Norm> before_attention_, before_ffn_, after_attention_, after_ffn_;
  std::optional<Norm> query_norm_, key_norm_;
};

}  // namespace prune::models
