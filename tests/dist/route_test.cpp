#include <prune/dist/route.h>
#include <prune/models/block_sites.h>

#include "support.h"

namespace prune::dist {
namespace {

using stream::Order;
using testing::ElementsAre;

// OPT's block with h = 8, f = 16.
std::vector<models::LinearSpec> opt_linears() {
  return {{"q", 8, 8, true, 0, false},    {"k", 8, 8, true, 0, false},
          {"v", 8, 8, true, 0, false},    {"out", 8, 8, true, 1, true},
          {"fc1", 16, 8, true, 2, false}, {"fc2", 8, 16, true, 3, true}};
}

/// Writes down the steps in the sequence in which they come.
class WrittenDown : public BlockSteps {
 public:
  void accumulate(const Stage& stage) override {
    std::string text = "H";
    for (const SiteRoute& site : stage) text += fmt::format(" {}", site.site);
    steps.push_back(text);
  }
  void factorize(const SiteRoute& site) override {
    steps.push_back(fmt::format("factor {}", site.site));
  }
  void solve(const SiteRoute&, size_t reader) override {
    steps.push_back(fmt::format("solve {}", reader));
  }
  void release(const SiteRoute& site) override {
    steps.push_back(fmt::format("free {}", site.site));
  }
  void share(const SiteRoute&, size_t reader) override {
    steps.push_back(fmt::format("share {}", reader));
  }
  std::vector<std::string> steps;
};

std::vector<std::string> steps(const BlockRoute& route, int64_t rank) {
  WrittenDown written;
  follow(route, rank, written);
  return written.steps;
}

TEST(Route, SequentialSolvesASiteBeforeTheNextIsReached) {
  const BlockRoute route =
      route_through(opt_linears(), std::vector<bool>(6, true), Order::kSequential, 1);
  EXPECT_THAT(steps(route, 0), ElementsAre("H 0", "factor 0", "solve 0", "solve 1", "solve 2",
                                           "free 0", "share 0", "share 1", "share 2",          //
                                           "H 1", "factor 1", "solve 3", "free 1", "share 3",  //
                                           "H 2", "factor 2", "solve 4", "free 2", "share 4",  //
                                           "H 3", "factor 3", "solve 5", "free 3", "share 5"));
}

TEST(Route, BlockOrderTakesAllHessiansFirst) {
  const BlockRoute route =
      route_through(opt_linears(), std::vector<bool>(6, true), Order::kBlock, 1);
  ASSERT_EQ(route.size(), 1U);
  EXPECT_EQ(steps(route, 0).front(), "H 0 1 2 3");
}

TEST(Route, LeavesOutSitesWithoutChosenReaders) {
  const BlockRoute route =
      route_through(opt_linears(), {false, true, false, false, false, true}, Order::kSequential, 1);
  EXPECT_THAT(steps(route, 0), ElementsAre("H 0", "factor 0", "solve 1", "free 0", "share 1",  //
                                           "H 3", "factor 3", "solve 5", "free 3", "share 5"));
  EXPECT_TRUE(route_through(opt_linears(), std::vector<bool>(6, false), Order::kBlock, 2).empty());
}

TEST(Route, RanksTakeExpertsSideBySide) {
  std::vector<models::LinearSpec> linears = {{"q", 8, 8, true, models::kAttentionSite, false}};
  for (int64_t expert = 0; expert < 3; ++expert) {
    for (const int64_t site : {models::first_site_of(expert), models::last_site_of(expert)}) {
      linears.push_back({.name = "e", .rows = 8, .cols = 8, .site = site, .expert = expert});
    }
  }
  for (const Order order : {Order::kSequential, Order::kBlock}) {
    const BlockRoute route = route_through(linears, std::vector<bool>(7, true), order, 2);
    std::vector<std::string> stages;
    for (const Stage& stage : route) {
      std::string text;
      for (const SiteRoute& site : stage) {
        text += fmt::format("{}@{} ", site.site - models::kExpertSites, site.owner);
      }
      stages.push_back(text);
    }
    EXPECT_THAT(stages, ElementsAre("-8@0 ", "0@0 2@1 ", "1@0 3@1 ", "4@0 ", "5@0 "));
  }
}

TEST(Route, ARankSolvesWhatItOwnsAndSharesAll) {
  const BlockRoute route =
      route_through(opt_linears(), std::vector<bool>(6, true), Order::kBlock, 2);
  std::vector<std::string> solved;
  for (int64_t rank = 0; rank < 2; ++rank) {
    const std::vector<std::string> taken = steps(route, rank);
    EXPECT_EQ(std::ranges::count_if(taken, [](const auto& s) { return s.starts_with("share"); }),
              6);
    for (const std::string& step : taken) {
      if (step.starts_with("solve")) solved.push_back(step);
    }
  }
  std::ranges::sort(solved);
  EXPECT_THAT(solved,
              ElementsAre("solve 0", "solve 1", "solve 2", "solve 3", "solve 4", "solve 5"));
}

}  // namespace
}  // namespace prune::dist
