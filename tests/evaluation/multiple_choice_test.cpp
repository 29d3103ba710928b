#include <prune/core/json_file.h>
#include <prune/evaluation/multiple_choice.h>

#include "support.h"

namespace prune::evaluation {
namespace {

using test::error_of;
using testing::HasSubstr;

MultipleChoiceResult run(const std::vector<MultipleChoiceItem>& items) {
  const auto folder = test::fixtures() / "opt-books-6m";
  const models::Model model =
      models::Model::open(folder, {.device = at::kCPU, .dtype = at::kFloat});
  NoProgress progress;
  return multiple_choice(model, *tokenizer::load_tokenizer(folder), items,
                         std::filesystem::temp_directory_path(), progress);
}

TEST(MultipleChoice, EqualsLmEval) {
  const auto folder = test::golden() / "evaluation";
  const json golden = read_json(folder / "multiple_choice.json");
  const MultipleChoiceResult result = run(read_task(folder / "multiple_choice.jsonl"));
  const auto expected = golden.at("loglikelihoods").get<std::vector<std::vector<double>>>();
  ASSERT_EQ(result.loglikelihoods.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(result.loglikelihoods[i].size(), expected[i].size()) << i;
    for (size_t c = 0; c < expected[i].size(); ++c) {
      EXPECT_NEAR(result.loglikelihoods[i][c], expected[i][c], 2e-3) << i << ", " << c;
    }
  }
  EXPECT_DOUBLE_EQ(result.accuracy, golden.at("acc").get<double>());
  EXPECT_DOUBLE_EQ(result.normalized, golden.at("acc_norm").get<double>());
  EXPECT_EQ(result.cut, 2) << "the two requests of the long item";
  EXPECT_NEAR(to_json(result).at("acc_norm_stderr").get<double>(), 0.0882, 1e-4)
      << "sqrt(p (1 - p) / 31) of p = 19/32";
}

TEST(MultipleChoice, FaultyTasksAreNamedByLine) {
  const test::TemporaryFolder folder;
  const std::string good = R"({"context": "a", "choices": ["b", "c"], "answer": 1})"
                           "\n\n";
  const auto read = [&](const std::string& line) {
    const auto file = folder.write("task.jsonl", good + line);
    return error_of(ErrorKind::kInput, [&] { read_task(file); });
  };
  EXPECT_THAT(read("{"), HasSubstr("task.jsonl: line 3"));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b"], "answer": 0})"),
              HasSubstr("fewer than two"));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b", "c"], "answer": 2})"),
              HasSubstr("'answer' 2 is not an index into the 2 choices"));
  EXPECT_THAT(read(R"({"context": " ", "choices": ["b", "c"], "answer": 0})"),
              HasSubstr("'context' is empty"));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b", ""], "answer": 0})"),
              HasSubstr("an empty text"));
  EXPECT_THAT(read(R"({"context": "a", "answer": 0})"), HasSubstr("'choices'"));
  const auto empty = folder.write("empty.jsonl", "\n");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_task(empty); }),
              HasSubstr("contains no items"));
}

}  // namespace
}  // namespace prune::evaluation
