#pragma once

#include <cstdint>

namespace prune::models {

/// The sites of a block in the order of a forward: read by the layers before attention, by the one
/// after it, and by the feed-forward's first and last layers. A block whose feed-forward reads the first site has
/// three: its last layer's site follows kOutSite.
enum BlockSite : int64_t { kAttentionSite, kOutSite, kFfnSite, kDownSite, kBlockSites };

}  // namespace prune::models
