#include <gtest/gtest.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/sha256.h>

#include "support.h"

namespace prune::calibration {
namespace {

using test::error_of;
using test::fixtures;

TEST(FixtureTokenizer, OpensAndDraws) {
  const auto tokenizer = load_tokenizer(fixtures() / "opt-books-6m");
  EXPECT_EQ(tokenizer->vocab_size(), 4096);
  const TextSource text = load_text(fixtures() / "books.test.txt");
  const TokenSet segments = evaluation_segments(text, *tokenizer, 512, 120);
  EXPECT_EQ(segments.samples(), 120);
  EXPECT_EQ(segments.seqlen(), 512);
  EXPECT_LT(segments.ids.max().item<int64_t>(), 4096);
}

}  // namespace
}  // namespace prune::calibration
