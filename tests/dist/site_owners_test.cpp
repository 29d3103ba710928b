#include <prune/dist/site_owners.h>

#include "support.h"

namespace prune::dist {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// q, k and v read site 0; out_proj reads 1, fc1 reads 2, fc2 reads 3.
std::vector<SiteReader> opt_block(int64_t hidden, int64_t ffn) {
  return {{0, hidden, hidden}, {0, hidden, hidden}, {0, hidden, hidden},
          {1, hidden, hidden}, {2, ffn, hidden},    {3, hidden, ffn}};
}

TEST(SiteOwners, DealsOutTheMostCostlySiteFirst) {
  // FLOPs of the sites: 107 307, 35 883, 35 883, 35 883.
  EXPECT_THAT(site_owners(opt_block(8, 8), 3),
              ElementsAre(Pair(0, 0), Pair(1, 1), Pair(2, 2), Pair(3, 1)));
}

TEST(SiteOwners, TheBusiestRankSwapsWithRank0) {
  // FLOPs of the sites: 107 307, 35 883, 71 595, 73 813. Of two ranks, rank 0 gets sites 0 and 1, rank 1
  // gets sites 3 and 2, which are more.
  EXPECT_THAT(site_owners(opt_block(8, 16), 2),
              ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 0), Pair(3, 0)));
  // Of three, rank 2 gets sites 2 and 1, which are more than site 0.
  EXPECT_THAT(site_owners(opt_block(8, 16), 3),
              ElementsAre(Pair(0, 2), Pair(1, 0), Pair(2, 0), Pair(3, 1)));
}

TEST(SiteOwners, EqualSitesAreDealtOutInTheirSequence) {
  const std::vector<SiteReader> readers = {{5, 4, 4}, {2, 4, 4}, {9, 4, 4}};
  EXPECT_THAT(site_owners(readers, 2), ElementsAre(Pair(2, 0), Pair(5, 1), Pair(9, 0)));
}

TEST(SiteOwners, OfOneRankAndOfFewSites) {
  EXPECT_THAT(site_owners(opt_block(8, 16), 1),
              ElementsAre(Pair(0, 0), Pair(1, 0), Pair(2, 0), Pair(3, 0)));
  EXPECT_THAT(site_owners({{3, 8, 16}}, 4), ElementsAre(Pair(3, 0)));
  EXPECT_THAT(site_owners({}, 4), IsEmpty());
}

}  // namespace
}  // namespace prune::dist
