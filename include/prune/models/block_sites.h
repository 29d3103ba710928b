#pragma once

#include <cstdint>

namespace prune::models {

/// The sites of a block in the order of a forward. No block has all of them.
enum BlockSite : int64_t {
  kAttentionSite,    ///< read by queries, keys and values, or by what their latents are made with
  kQueryLatentSite,  ///< by the layer that makes queries of a latent
  kKeyLatentSite,    ///< by the one that makes keys and values of theirs
  kMixerSite,        ///< by the first layer of a mixer beside attention
  kOutSite,          ///< by attention's last layer, or that of a mixer instead of it
  kMixerOutSite,     ///< by the last layer of a mixer beside attention
  kFfnSite,          ///< by the feed-forward's first layers
  kDownSite,         ///< by its last layer
  kExpertSites,  ///< by the first layers of expert 0; then by its last layer, by the first of expert 1, ...
};

constexpr int64_t first_site_of(int64_t expert) { return kExpertSites + 2 * expert; }
constexpr int64_t last_site_of(int64_t expert) { return kExpertSites + 2 * expert + 1; }
constexpr int64_t expert_of(int64_t site) { return (site - kExpertSites) / 2; }
constexpr bool is_of_expert(int64_t site) { return site >= kExpertSites; }

}  // namespace prune::models
