#include <prune/dist/sample_split.h>

#include "support.h"

namespace prune::dist {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(SampleSplit, GivesEverySampleOneRankAndOneChunk) {
  for (const bool deterministic : {false, true}) {
    for (int64_t samples = 16; samples < 50; ++samples) {
      for (int64_t ranks = 1; ranks <= 16; ++ranks) {
        const SampleSplit split(samples, ranks, deterministic);
        int64_t next = 0;
        for (int64_t rank = 0; rank < ranks; ++rank) {
          ASSERT_EQ(split.samples_of(rank).begin, next);
          const Range chunks = split.chunks_of(rank);
          ASSERT_GT(chunks.size(), 0);
          for (int64_t chunk = chunks.begin; chunk < chunks.end; ++chunk) {
            ASSERT_EQ(split.rank_of(chunk), rank);
            ASSERT_EQ(split.samples_of_chunk(chunk).begin, next);
            ASSERT_GT(split.samples_of_chunk(chunk).size(), 0);
            next = split.samples_of_chunk(chunk).end;
          }
          ASSERT_EQ(split.samples_of(rank).end, next);
        }
        ASSERT_EQ(next, samples);
      }
    }
  }
}

TEST(SampleSplit, DeterministicChunksDoNotDependOnTheRanks) {
  const SampleSplit one(100, 1, true);
  const SampleSplit five(100, 5, true);
  ASSERT_EQ(one.chunks(), five.chunks());
  for (int64_t chunk = 0; chunk < one.chunks(); ++chunk) {
    EXPECT_EQ(one.samples_of_chunk(chunk).begin, five.samples_of_chunk(chunk).begin);
  }
  EXPECT_EQ(SampleSplit(3, 1, true).chunks(), 3);
}

TEST(SampleSplit, RanksWithoutWorkAreRefused) {
  EXPECT_THAT(
      error_of(ErrorKind::kUsage, [] { SampleSplit(3, 4, false); }),
      HasSubstr("4 ranks, but there is work for only 3: each rank needs a sample of --nsamples "
                "and of --estimate-nsamples"));
  EXPECT_THAT(error_of(ErrorKind::kUsage, [] { SampleSplit(128, 17, true); }),
              HasSubstr("--deterministic"));
}

}  // namespace
}  // namespace prune::dist
