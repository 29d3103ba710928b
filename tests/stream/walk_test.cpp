#include <prune/stream/walk.h>

#include "models/golden_model.h"

namespace prune::stream {
namespace {

class WrittenDown : public Progress {
 public:
  void begin(const std::string& phase, int64_t steps) override {
    lines.push_back(fmt::format("{} of {}", phase, steps));
  }
  void detail(const std::string&) override {}
  void advance() override { lines.emplace_back("advance"); }
  std::vector<std::string> lines;
};

TEST(Walk, LoadsEveryBlockOnceAndReportsProgress) {
  const test::GoldenModel golden("llama");
  const models::Model model = golden.open();
  WrittenDown progress;
  std::vector<int64_t> numbers;
  for (const LoadedBlock& block : Walk(model, "look", progress)) {
    numbers.push_back(block.number);
    EXPECT_EQ(block.last, block.number + 1 == model.config().blocks);
    EXPECT_EQ(block->linears().front().name,
              model.block_prefix(block.number) + model.linears(0).front().name);
    progress.lines.emplace_back("body");
  }
  EXPECT_THAT(numbers, testing::ElementsAre(0, 1));
  EXPECT_THAT(progress.lines,
              testing::ElementsAre("look of 2", "body", "advance", "body", "advance"));
}

TEST(Walk, CanBeLeftEarly) {
  const test::GoldenModel golden("llama");
  const models::Model model = golden.open();
  WrittenDown progress;
  for (const LoadedBlock& block : Walk(model, "look", progress)) {
    if (block.number == 0) break;
  }
  EXPECT_THAT(progress.lines, testing::ElementsAre("look of 2"));
}

}  // namespace
}  // namespace prune::stream
