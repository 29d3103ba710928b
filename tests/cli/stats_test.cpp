#include <sys/wait.h>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

/// One run with an estimate pass, whose statistics the tests pass to other runs.
class Stats : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<test::TemporaryFolder>();
    const test::Outcome outcome =
        test::run_prune(test::small_run(test::model_folder(), path("first")));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::string path(const std::string& name) { return (folder_->path() / name).string(); }

  static std::vector<std::string> run(std::vector<std::string> more,
                                      const std::string& model = test::model_folder()) {
    more.insert(more.end(), {"--overwrite"});
    return test::small_run(model, path("out"), std::move(more));
  }

  /// The error of a run that must refuse the first run's statistics.
  static std::string refusal(std::vector<std::string> more,
                             const std::string& model = test::model_folder()) {
    more.insert(more.end(), {"--target", "0.7"});
    const test::Outcome outcome = test::run_prune(run(std::move(more), model));
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith("prune: input error: "));
    return outcome.err;
  }

  static std::unique_ptr<test::TemporaryFolder> folder_;
};

std::unique_ptr<test::TemporaryFolder> Stats::folder_;

TEST_F(Stats, OtherTargetsAndSchedulesNeedNoSecondPass) {
  const std::vector<std::string> options = {"--target", "0.5",    "--groups",
                                            "2",        "--loss", "relative"};
  const test::Outcome direct = test::run_prune(run(options));
  ASSERT_EQ(direct.code, 0) << direct.err;
  fs::rename(path("out"), path("direct"));
  std::vector<std::string> with_stats = options;
  with_stats.insert(with_stats.end(), {"--stats", path("first")});
  const test::Outcome reused = test::run_prune(run(with_stats));
  ASSERT_EQ(reused.code, 0) << reused.err;
  for (const char* file : {"model.safetensors", "prune_statistics.json"}) {
    EXPECT_TRUE(test::bytes(path("out") / fs::path(file)) ==
                test::bytes(path("direct") / fs::path(file)))
        << file;
  }
  const nlohmann::json report = test::read_report(path("out"));
  EXPECT_FALSE(report.at("elapsed_s").contains("estimate"));
  EXPECT_EQ(report.at("schedule"), test::read_report(path("direct")).at("schedule"));
  for (const nlohmann::json& layer : report.at("layers")) {
    EXPECT_GT(layer.at("loss_estimated").get<double>(), 0.0);
  }
}

TEST_F(Stats, AFileAndASubsetOfItsLayersDo) {
  const std::string file = path("first") + "/prune_statistics.json";
  const test::Outcome outcome = test::run_prune(
      run({"--target", "0.5", "--stats", file, "--schedule", "uniform", "--include", "fc2"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json report = test::read_report(path("out"));
  EXPECT_EQ(report.at("layers").size(), 6U);
  EXPECT_GT(report.at("layers")[0].at("loss_estimated").get<double>(), 0.0);
}

TEST_F(Stats, OfSomethingElseAreRefusedByField) {
  const std::string stats = path("first");
  EXPECT_THAT(refusal({"--stats", stats, "--seed", "3"}), HasSubstr("'calibration/sha256' was"));
  EXPECT_THAT(refusal({"--stats", stats, "--percdamp", "0.02"}),
              HasSubstr("prune_statistics.json: 'percdamp' was 0.01, now it is 0.02"));
  EXPECT_THAT(refusal({"--stats", stats, "--estimate-nsamples", "1"}),
              HasSubstr("'estimate_nsamples' was"));
  EXPECT_THAT(refusal({"--stats", stats, "--dtype", "bfloat16"}),
              HasSubstr(R"('dtype' was "float32", now it is "bfloat16")"));
  const fs::path model = test::copy_model(*folder_);
  {
    std::fstream weights(model / "model.safetensors",
                         std::ios::binary | std::ios::in | std::ios::out);
    weights.seekp(-2, std::ios::end);
    weights.put('\1');
  }
  EXPECT_THAT(refusal({"--stats", stats}, model.string()),
              HasSubstr("'model/model.safetensors' was"));
}

TEST_F(Stats, WithoutALayerOrDamagedAreRefused) {
  const test::Outcome some = test::run_prune(run({"--target", "0.7", "--include", "fc1"}));
  ASSERT_EQ(some.code, 0) << some.err;
  fs::rename(path("out"), path("some"));
  EXPECT_THAT(
      refusal({"--stats", path("some")}),
      HasSubstr("prune_statistics.json: key 'model.decoder.layers.0.self_attn.q_proj' is missing"));
  EXPECT_THAT(refusal({"--stats", path("nowhere")}), HasSubstr("nowhere: cannot open"));
  nlohmann::json file =
      nlohmann::json::parse(test::bytes(path("first") + "/prune_statistics.json"));
  file.at("layers").at("model.decoder.layers.1.fc2").at("cumulative").erase(5);
  EXPECT_THAT(refusal({"--stats", folder_->write("short.json", file.dump()).string()}),
              HasSubstr("'cumulative' has 100 values, not 101"));
}

// Their cost is for OWL alone.
TEST_F(Stats, HoldOutlierSharesOnlyIfOwlAsksForThem) {
  using nlohmann::json;
  const auto outliers = [](const std::string& output) {
    return json::parse(test::bytes(path(output) + "/prune_statistics.json")).at("outliers");
  };
  EXPECT_TRUE(outliers("first").empty());
  EXPECT_THAT(refusal({"--schedule", "owl", "--stats", path("first")}),
              HasSubstr("key 'outliers' is empty in --stats"));
  const test::Outcome owl = test::run_prune(run({"--schedule", "owl", "--target", "0.5"}));
  ASSERT_EQ(owl.code, 0) << owl.err;
  EXPECT_EQ(outliers("out").size(), 6U);
}

TEST_F(Stats, OfAnotherSchemaOrNumberOfBlocksAreRefused) {
  using nlohmann::json;
  const json good = json::parse(test::bytes(path("first") + "/prune_statistics.json"));
  const auto refusal_with = [&](const char* key, const json& value) {
    json file = good;
    file.at(key) = value;
    return refusal({"--stats", folder_->write("changed.json", file.dump()).string()});
  };
  EXPECT_THAT(refusal_with("schema", 999), HasSubstr("changed.json: key 'schema' is not "));
  EXPECT_THAT(refusal_with("stream_energy", std::vector<double>(7, 1.0)),
              HasSubstr("key 'stream_energy' has 7 values for 6 blocks"));
  EXPECT_THAT(refusal_with("outliers", std::vector<double>(5, 0.1)),
              HasSubstr("key 'outliers' has 5 values for 6 blocks"));
}

}  // namespace
}  // namespace prune
