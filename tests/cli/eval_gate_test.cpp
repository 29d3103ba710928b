#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using test::Outcome;
using testing::HasSubstr;

class EvalGate : public testing::Test {
 protected:
  EvalGate() {
    model_ = test::tiny_model(folder_).string();
    text_ = folder_.write("text.txt", test::tiny_text()).string();
  }

  Outcome eval(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"eval",     "--model", model_,       "--data", text_,
                                          "--seqlen", "32",      "--segments", "4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run_prune(arguments);
  }

  std::string baseline() const { return (folder_.path() / "base.json").string(); }
  std::string junit() const { return (folder_.path() / "junit.xml").string(); }

  /// Multiplies the baseline's perplexity by `factor`.
  void scale_baseline(double factor) const {
    nlohmann::json file = nlohmann::json::parse(test::bytes(baseline()));
    file["perplexity"] = factor * file.at("perplexity").get<double>();
    std::ofstream(baseline()) << file.dump();
  }

  test::TemporaryFolder folder_;
  std::string model_;
  std::string text_;
};

TEST_F(EvalGate, PassesFailsAndSaysByHowMuch) {
  ASSERT_EQ(eval({"--baseline", baseline(), "--write-baseline", "--tolerance", "0.02"}).code, 0);
  const Outcome same = eval({"--baseline", baseline(), "--junit", junit()});
  EXPECT_EQ(same.code, 0) << same.err;
  EXPECT_THAT(same.err, HasSubstr("is 0.00 % above"));
  EXPECT_THAT(test::bytes(junit()), HasSubstr("failures=\"0\""));

  scale_baseline(0.9);
  const Outcome worse = eval({"--baseline", baseline(), "--junit", junit()});
  EXPECT_EQ(worse.code, 1);
  EXPECT_THAT(worse.err,
              testing::AllOf(HasSubstr("prune: gate failed: " + baseline()),
                             HasSubstr("is 11.11 % above"), HasSubstr("2 % is allowed")));
  EXPECT_THAT(worse.out, HasSubstr("perplexity")) << "the number is printed all the same";
  EXPECT_THAT(test::bytes(junit()), HasSubstr("failures=\"1\""));
  EXPECT_EQ(eval({"--baseline", baseline(), "--tolerance", "0.12"}).code, 0);
}

TEST_F(EvalGate, RefusesWhatCannotBeCompared) {
  ASSERT_EQ(eval({"--baseline", baseline(), "--write-baseline"}).code, 0);
  const Outcome fewer = test::run_prune({"eval", "--model", model_, "--data", text_, "--seqlen",
                                         "32", "--segments", "3", "--baseline", baseline()});
  EXPECT_EQ(fewer.code, 3);
  EXPECT_THAT(fewer.err, HasSubstr("'sha256' is"));
  const Outcome absent = eval({"--baseline", baseline() + "x"});
  EXPECT_EQ(absent.code, 3);
  EXPECT_THAT(absent.err, HasSubstr("base.jsonx: cannot open"));
  const Outcome alone = eval({"--write-baseline"});
  EXPECT_EQ(alone.code, 2);
  EXPECT_THAT(alone.err, HasSubstr("need --baseline FILE"));
  const Outcome nowhere =
      eval({"--baseline", (folder_.path() / "no/base.json").string(), "--write-baseline"});
  EXPECT_EQ(nowhere.code, 6);
  EXPECT_THAT(nowhere.err, HasSubstr("no/base.json: cannot write: No such file"));
}

TEST(EvalBaselines, BundledOneHolds) {
  const fs::path file =
      fs::path(PRUNE_TESTS_DIR).parent_path() / "configs/perplexity/opt-books-6m.json";
  const test::Outcome outcome =
      test::run_prune({"eval", "--model", test::model_folder(), "--data",
                       (test::fixtures() / "books.test.txt").string(), "--seqlen", "512",
                       "--segments", "120", "--baseline", file.string(), "--tolerance", "1e-5"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

// Shipped baselines of models that the tests do not have: they parse, and other data are refused.
TEST(EvalBaselines, PublishedOnesAreForTheirData) {
  int published = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(PRUNE_TESTS_DIR).parent_path() / "configs/perplexity")) {
    const auto file = nlohmann::json::parse(test::bytes(entry.path()));
    EXPECT_GT(file.at("perplexity").get<double>(), 1.0) << entry.path();
    EXPECT_GT(file.at("tolerance").get<double>(), 0.0) << entry.path();
    if (file.contains("sha256")) continue;
    EXPECT_THAT(file.at("published").get<std::string>(), HasSubstr("arXiv")) << entry.path();
    if (++published > 1) continue;
    const test::Outcome outcome =
        test::run_prune({"eval", "--model", test::model_folder(), "--data",
                         (test::fixtures() / "books.test.txt").string(), "--seqlen", "512",
                         "--segments", "1", "--baseline", entry.path().string()});
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("key 'data' is \"wikitext2\" in the baseline"));
  }
  EXPECT_EQ(published, 16);
}

TEST(EvalTask, PrintsAccuracyAndRefusesAGate) {
  const std::string task = (test::golden() / "evaluation/multiple_choice.jsonl").string();
  const test::Outcome outcome =
      test::run_prune({"eval", "--model", test::model_folder(), "--task", task, "--quiet"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, testing::HasSubstr("acc_norm 0.5938 (+- 0.0882), acc 0.3438"));
  EXPECT_THAT(outcome.err, testing::HasSubstr("2 requests are longer than the model's positions"));
  const test::Outcome both = test::run_prune(
      {"eval", "--model", test::model_folder(), "--task", task, "--baseline", "x.json"});
  EXPECT_EQ(both.code, 2);
  EXPECT_THAT(both.err, testing::HasSubstr("--task cannot be combined with"));
  const test::Outcome ranks =
      test::run_shell(fmt::format("RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=1 {} eval "
                                  "--model {} --task {} --quiet",
                                  PRUNE_PROGRAM, test::model_folder(), task));
  EXPECT_EQ(ranks.code, 2);
  EXPECT_THAT(ranks.err, testing::HasSubstr("--task runs in one process, not over several ranks"));
}

}  // namespace
}  // namespace prune
