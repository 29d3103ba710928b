// Greedy continuations of tiny random models against Transformers' generate (scripts/golden/generation.py).
#include <prune/generation/generator.h>
#include <prune/generation/sampler.h>

#include "models/golden_model.h"

namespace prune::generation {
namespace {

const json& golden_texts() {
  static const json kTexts = read_json(test::golden() / "generation/greedy.json");
  return kTexts;
}

class GoldenText : public testing::TestWithParam<std::string> {};

TEST_P(GoldenText, IsThatOfTransformers) {
  const auto want = golden_texts().at("cases").at(GetParam()).get<std::vector<int64_t>>();
  ASSERT_FALSE(want.empty());
  const test::GoldenModel golden(GetParam());
  Generator generator(golden.open());
  Sampler choose({});
  auto next = golden_texts().at("prompt").get<std::vector<int64_t>>();
  const int64_t prompt = std::ssize(next);
  std::vector<int64_t> got;
  while (got.size() < want.size()) {
    got.push_back(choose(generator.read(next)));
    next = {got.back()};
  }
  EXPECT_EQ(got, want);
  EXPECT_EQ(generator.length(), prompt + std::ssize(want) - 1);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenText, testing::ValuesIn(test::golden_cases()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace prune::generation
