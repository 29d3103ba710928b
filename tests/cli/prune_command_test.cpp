#include <prune/checkpoint/checkpoint.h>
#include <prune/schedule/choose_candidate.h>
#include <sys/wait.h>

#include <cmath>
#include <numeric>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

using test::bytes;

class PruneCommand : public testing::Test {
 protected:
  fs::path output(const std::string& name = "out") const { return folder_.path() / name; }

  nlohmann::json run(std::vector<std::string> more, const std::string& name = "out") {
    const test::Outcome outcome = test::run_prune(
        test::small_run(test::model_folder(), output(name).string(), std::move(more)));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? test::read_report(output(name)) : nlohmann::json();
  }

  test::TemporaryFolder folder_;
};

TEST_F(PruneCommand, ReachesTheTargetExactlyAndReportsIt) {
  const nlohmann::json report = run({"--target", "0.7", "--groups", "3"});
  EXPECT_EQ(report.at("schema"), 1);
  const int64_t weights = report.at("weights").get<int64_t>();
  EXPECT_EQ(weights, 6 * (4 * 256 * 256 + 2 * 256 * 1024));
  EXPECT_EQ(report.at("zeros").get<int64_t>(), std::llround(0.7 * static_cast<double>(weights)));
  EXPECT_EQ(report.at("layers").size(), 36U);
  for (const nlohmann::json& layer : report.at("layers")) {
    const double size = layer.at("shape")[0].get<double>() * layer.at("shape")[1].get<double>();
    EXPECT_NEAR(layer.at("sparsity_reached").get<double>(),
                layer.at("sparsity_asked").get<double>(), 1.0 / size);
    EXPECT_GT(layer.at("loss_measured").get<double>(), 0.0);
    EXPECT_GT(layer.at("loss_estimated").get<double>(), 0.0);
    EXPECT_GT(layer.at("energy").get<double>(), 0.0);
  }
  for (const char* key : {"prune", "model", "calibration", "device", "world_size", "schedule",
                          "fallbacks", "evaluation", "peak_memory_bytes", "elapsed_s", "output"}) {
    EXPECT_TRUE(report.contains(key)) << key;
  }
  EXPECT_EQ(report.at("schedule").at("groups").size(), 3U);
  EXPECT_TRUE(report.at("fallbacks").empty());
}

TEST_F(PruneCommand, OutputHoldsWhatTheInputHeld) {
  run({"--target", "0.5"});
  for (const char* file :
       {"config.json", "generation_config.json", "tokenizer.json", "vocab.json", "merges.txt"}) {
    EXPECT_EQ(bytes(output() / file), bytes(fs::path(test::model_folder()) / file)) << file;
  }
  EXPECT_FALSE(fs::exists(output().string() + ".partial"));
  const test::Outcome outcome =
      test::run_prune({"inspect", "--json", "--model", output().string()});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json inspection = nlohmann::json::parse(outcome.out);
  EXPECT_DOUBLE_EQ(inspection.at("sparsity").get<double>(), 0.5);
  EXPECT_EQ(inspection.at("dtype"), "float16");
}

TEST_F(PruneCommand, SameSeedSameBytesOtherSeedOtherBytes) {
  run({"--target", "0.6", "--seed", "5"}, "first");
  run({"--target", "0.6", "--seed", "5"}, "second");
  run({"--target", "0.6", "--seed", "6"}, "other");
  const std::string first = bytes(output("first") / "model.safetensors");
  EXPECT_TRUE(first == bytes(output("second") / "model.safetensors"));
  EXPECT_FALSE(first == bytes(output("other") / "model.safetensors"));
}

TEST_F(PruneCommand, TargetZeroChangesNoWeight) {
  run({"--target", "0"});
  EXPECT_TRUE(bytes(output() / "model.safetensors") ==
              bytes(fs::path(test::model_folder()) / "model.safetensors"));
}

// torch's condition for semi-structured weights: every four consecutive ones in a row have two or more zeros.
TEST_F(PruneCommand, NOfMHoldsInEveryGroupOfTheWrittenFile) {
  for (const char* solver : {"sparsegpt", "alps"}) {
    const nlohmann::json report = run({"--pattern", "2:4", "--solver", solver, "--refine", "5",
                                       "--include", R"(layers\.0\.)", "--threads", "1"},
                                      solver);
    EXPECT_EQ(report.at("zeros").get<int64_t>() * 2, report.at("weights").get<int64_t>());
    const checkpoint::Checkpoint written = checkpoint::Checkpoint::open(output(solver));
    for (const nlohmann::json& layer : report.at("layers")) {
      const std::string name = layer.at("name").get<std::string>() + ".weight";
      const Tensor zeros = written.load(name).eq(0).view({-1, 4}).sum(1);
      EXPECT_TRUE(zeros.ge(2).all().item<bool>()) << solver << " " << name;
    }
  }
}

TEST_F(PruneCommand, RefineAndAlpsLoseLessWithTheSameZeros) {
  const std::vector<std::string> part = {"--target", "0.7",       "--schedule",
                                         "uniform",  "--include", R"(layers\.0\.)"};
  const auto total = [&](std::vector<std::string> more, const std::string& name) {
    more.insert(more.begin(), part.begin(), part.end());
    const nlohmann::json report = run(more, name);
    double loss = 0.0;
    for (const nlohmann::json& layer : report.at("layers")) {
      loss += layer.at("loss_measured").get<double>();
    }
    EXPECT_EQ(report.at("zeros").get<int64_t>(),
              std::llround(0.7 * static_cast<double>(report.at("weights").get<int64_t>())));
    return loss;
  };
  const double sparsegpt = total({"--refine", "0"}, "sparsegpt");
  const double refined = total({"--refine", "10"}, "refined");
  const double alps = total({"--solver", "alps", "--refine", "10"}, "alps");
  EXPECT_LT(refined, 0.9 * sparsegpt);
  EXPECT_LT(alps, 0.9 * refined);
  const nlohmann::json layer = test::read_report(output("alps")).at("layers")[0];
  EXPECT_GT(layer.at("admm_steps"), 0);
  EXPECT_EQ(layer.at("refine_steps"), 10);
  EXPECT_LT(layer.at("refine_residual"), 1.0);
}

TEST_F(PruneCommand, IncludeAndExcludeChooseLayers) {
  const nlohmann::json report =
      run({"--target", "0.5", "--include", R"(layers\.[01]\..*(fc1|fc2))", "--exclude", "fc2"});
  ASSERT_EQ(report.at("layers").size(), 2U);
  EXPECT_EQ(report.at("layers")[1].at("name"), "model.decoder.layers.1.fc1");
  EXPECT_EQ(report.at("weights").get<int64_t>(), 2 * 256 * 1024);
}

TEST_F(PruneCommand, AScheduleCanBeGivenBack) {
  const nlohmann::json first = run({"--target", "0.7"}, "first");
  const nlohmann::json second =
      run({"--schedule", "file:" + (output("first") / "prune_report.json").string()}, "second");
  EXPECT_EQ(first.at("schedule").at("layers"), second.at("schedule").at("layers"));
  EXPECT_TRUE(bytes(output("first") / "model.safetensors") ==
              bytes(output("second") / "model.safetensors"));
}

TEST_F(PruneCommand, AutoTriesSchedulesOnHeldOutText) {
  const auto run_sixteen = [&](const std::string& schedule, double spread,
                               const std::string& name) {
    const test::Outcome outcome = test::run_prune(
        {"--model", test::model_folder(), "--calibration", test::calibration_text(), "--nsamples",
         "16", "--seqlen", "64", "--target", "0.7", "--schedule", schedule, "--spread",
         fmt::format("{}", spread), "--output", output(name).string(), "--quiet"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return test::read_report(output(name));
  };
  const nlohmann::json report = run_sixteen("auto", 0.1, "auto");
  const nlohmann::json& candidates = report.at("schedule_candidates");
  ASSERT_EQ(candidates.size(), 4U);
  std::vector<std::vector<double>> losses;
  std::vector<std::pair<std::string, double>> tried;
  for (const nlohmann::json& candidate : candidates) {
    losses.push_back(candidate.at("losses").get<std::vector<double>>());
    ASSERT_EQ(losses.back().size(), 8U);
    const double mean = std::accumulate(losses.back().begin(), losses.back().end(), 0.0) / 8;
    EXPECT_NEAR(candidate.at("perplexity").get<double>(), std::exp(mean), 1e-9 * std::exp(mean));
    tried.emplace_back(candidate.at("kind"), candidate.at("spread"));
  }
  EXPECT_THAT(tried, ElementsAre(Pair("uniform", 0.0), Pair("kmeans", 0.1), Pair("kmeans", 0.05),
                                 Pair("kmeans", DoubleNear(0.15, 1e-12))));
  const auto& [kind, spread] = tried[schedule::choose_candidate(losses, 1)];
  const nlohmann::json chosen = run_sixteen(kind, spread, "chosen");
  EXPECT_EQ(report.at("schedule"), chosen.at("schedule"));
  EXPECT_TRUE(bytes(output("auto") / "model.safetensors") ==
              bytes(output("chosen") / "model.safetensors"));

  const test::Outcome few = test::run_prune(test::small_run(
      test::model_folder(), output("few").string(), {"--schedule", "auto", "--target", "0.7"}));
  EXPECT_EQ(few.code, 2);
  EXPECT_THAT(few.err, HasSubstr("--schedule auto needs --nsamples of 16 or more"));
}

TEST_F(PruneCommand, OverwriteReplacesTheOutput) {
  run({"--target", "0.5"});
  const nlohmann::json report = run({"--target", "0.6", "--overwrite"});
  EXPECT_NEAR(report.at("zeros").get<double>() / report.at("weights").get<double>(), 0.6, 1e-6);
}

TEST_F(PruneCommand, ReportGoesWhereItIsAskedToo) {
  const fs::path copy = folder_.path() / "report.json";
  run({"--target", "0.5", "--report", copy.string()});
  EXPECT_EQ(bytes(copy), bytes(output() / "prune_report.json"));
}

TEST_F(PruneCommand, EvaluatesBeforeAndAfterAsEvalDoes) {
  const std::string text = (test::fixtures() / "books.test.txt").string();
  const nlohmann::json evaluation =
      run({"--target", "0.7", "--eval", text, "--eval-segments", "8"}).at("evaluation");
  const test::Outcome outcome =
      test::run_prune({"eval", "--json", "--quiet", "--model", output().string(), "--data", text,
                       "--segments", "8", "--seqlen", "64"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json alone = nlohmann::json::parse(outcome.out);
  EXPECT_DOUBLE_EQ(alone.at("perplexity").get<double>(),
                   evaluation.at("perplexity_pruned").get<double>());
  EXPECT_EQ(alone.at("sha256"), evaluation.at("sha256"));
  EXPECT_LT(evaluation.at("perplexity_dense").get<double>(),
            evaluation.at("perplexity_pruned").get<double>());
}

TEST_F(PruneCommand, JsonResultIsTheReport) {
  const test::Outcome outcome = test::run_prune(
      test::small_run(test::model_folder(), output().string(), {"--target", "0.5", "--json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out), test::read_report(output()));
}

TEST_F(PruneCommand, PathsWithSpacesAndUtf8) {
  const fs::path model = test::copy_model(folder_, "mein modell ü");
  const test::Outcome outcome =
      test::run_prune(test::small_run(model.string(), output("aus gabe ß").string()));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(
      test::read_report(output("aus gabe ß")).at("prune").at("command_line").get<std::string>(),
      HasSubstr("'" + model.string() + "'"));
}

}  // namespace
}  // namespace prune
