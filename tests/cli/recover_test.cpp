// The kept weights of a pruned model learn from the dense one: `--recover` and `prune recover`.
#include <prune/checkpoint/checkpoint.h>
#include <sys/wait.h>

#include <algorithm>
#include <map>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

class Recover : public testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_.path() / name; }

  json prune(const std::string& output, const Arguments& more) const {
    const test::Outcome outcome =
        test::run_prune(test::small_run(test::model_folder(), path(output).string(), more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? test::read_report(path(output)) : json();
  }

  test::Outcome recover(const std::string& model, const std::string& output,
                        const Arguments& more = {}) const {
    Arguments arguments = {"recover",
                           "--model",
                           model,
                           "--output",
                           path(output).string(),
                           "--quiet",
                           "--calibration",
                           test::calibration_text()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (const auto& [flag, value] :
         std::map<std::string, std::string>{{"--teacher", test::model_folder()},
                                            {"--steps", "4"},
                                            {"--nsamples", "4"},
                                            {"--seqlen", "64"}}) {
      if (std::ranges::find(more, flag) != more.end()) continue;
      arguments.insert(arguments.end(), {flag, value});
    }
    return test::run_prune(arguments);
  }

  test::TemporaryFolder folder_;
};

TEST_F(Recover, LearnsAndKeepsEveryZero) {
  prune("pruned", {"--target", "0.8"});
  ASSERT_EQ(recover(path("pruned").string(), "recovered",
                    {"--steps", "8", "--nsamples", "32", "--seqlen", "128"})
                .code,
            0);
  const json report = test::read_report(path("recovered"));
  const json& recovery = report.at("recovery");
  EXPECT_EQ(recovery.at("losses").size(), 8U);
  EXPECT_EQ(recovery.at("held_out").size(), 9U);
  EXPECT_EQ(recovery.at("trained_samples"), 31);
  EXPECT_EQ(recovery.at("held_out_samples"), 1);
  EXPECT_LT(recovery.at("held_out").back().at("loss").get<double>(),
            0.95 * recovery.at("held_out").front().at("loss").get<double>());

  EXPECT_THAT(test::bytes(path("recovered") / "README.md"),
              HasSubstr("learnt from the dense model"));
  const test::Outcome page =
      test::run_prune({"report", path("recovered").string(), "--html", path("page.html").string()});
  EXPECT_EQ(page.code, 0) << page.err;
  EXPECT_THAT(test::bytes(path("page.html")),
              AllOf(HasSubstr("Recovery:"), HasSubstr("<polyline")));

  const auto pruned = checkpoint::Checkpoint::open(path("pruned"));
  const auto recovered = checkpoint::Checkpoint::open(path("recovered"));
  int64_t changed = 0;
  for (const json& layer : report.at("layers")) {
    const std::string name = layer.at("name").get<std::string>() + ".weight";
    const Tensor before = pruned.load(name);
    const Tensor after = recovered.load(name);
    EXPECT_TRUE(at::equal(before.eq(0), after.eq(0))) << name;
    changed += before.ne(after).sum().item<int64_t>();
  }
  EXPECT_GT(changed, 100000);
  for (const std::string& name : pruned.names()) {
    if (name.find("norm") == std::string::npos && name.find("embed") == std::string::npos) continue;
    EXPECT_TRUE(at::equal(pruned.load(name), recovered.load(name))) << name;
  }
}

TEST_F(Recover, OfAWrittenModelEqualsThatWithinTheRun) {
  prune("pruned", {"--target", "0.7"});
  prune("within", {"--target", "0.7", "--recover", "4"});
  const test::Outcome outcome = recover(path("pruned").string(), "after");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(test::bytes(path("within") / "model.safetensors") ==
              test::bytes(path("after") / "model.safetensors"));
  const json report = test::read_report(path("after"));
  EXPECT_EQ(report.at("recovery").at("teacher"), test::model_folder());
  EXPECT_EQ(report.at("schedule").at("kind"), "kept");
}

TEST_F(Recover, KeepsAPattern) {
  prune("within", {"--pattern", "2:4", "--recover", "2"});
  const test::Outcome inspected =
      test::run_prune({"inspect", "--json", "--quiet", "--model", path("within").string()});
  ASSERT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("2:4"));
}

TEST_F(Recover, RoundsAfterwardsAndKeepsTheZeros) {
  const json report =
      prune("rounded", {"--target", "0.6", "--recover", "2", "--wbits", "4", "--group-size", "64",
                        "--eval", test::calibration_text(), "--eval-segments", "4"});
  EXPECT_EQ(report.at("recovery").at("losses").size(), 2U);
  EXPECT_EQ(report.at("schedule").at("kind"), "kmeans");
  EXPECT_GE(report.at("zeros").get<double>(), 0.6 * report.at("weights").get<double>() - 1);
  EXPECT_FALSE(fs::exists(path("rounded") / "in-16-bits"));
  EXPECT_TRUE(
      json::parse(test::bytes(path("rounded") / "config.json")).contains("quantization_config"));
}

TEST_F(Recover, ASparseModelIsRoundedAsSparseAsItIs) {
  const json before = prune("pruned", {"--target", "0.6"});
  const test::Outcome outcome = test::run_prune(test::small_run(
      path("pruned").string(), path("rounded").string(),
      {"--schedule", "kept", "--wbits", "4", "--group-size", "64", "--format", "dense"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GE(test::read_report(path("rounded")).at("zeros"), before.at("zeros"));
  const auto pruned = checkpoint::Checkpoint::open(path("pruned"));
  const auto rounded = checkpoint::Checkpoint::open(path("rounded"));
  for (const json& layer : before.at("layers")) {
    const std::string name = layer.at("name").get<std::string>() + ".weight";
    const Tensor zero = pruned.load(name).eq(0);
    EXPECT_TRUE(rounded.load(name).masked_select(zero).eq(0).all().item<bool>()) << name;
  }
}

TEST_F(Recover, WithoutZerosIsRefused) {
  const test::Outcome outcome = recover(test::model_folder(), "out");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(test::model_folder()), HasSubstr("no layer is pruned")));
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(Recover, RefusesATeacherWithAnotherVocabulary) {
  prune("pruned", {"--target", "0.7"});
  const fs::path other = test::copy_model(folder_, "other");
  json config = json::parse(test::bytes(other / "config.json"));
  config["vocab_size"] = config.at("vocab_size").get<int64_t>() - 1;
  folder_.write("other/config.json", config.dump());
  const test::Outcome outcome =
      recover(path("pruned").string(), "out", {"--teacher", other.string()});
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.code, 70);
}

TEST_F(Recover, RefusesNumbersThatMakeNoSense) {
  for (const auto& [flags, message] : std::vector<std::pair<Arguments, std::string>>{
           {{"--recover", "-1"}, "--recover -1 is negative"},
           {{"--recover", "1", "--recover-lr", "-1"}, "--recover-lr -1 is negative"},
           {{"--recover", "1", "--recover-batch", "0"}, "--recover-batch 0 is not positive"}}) {
    Arguments more = {"--target", "0.5"};
    more.insert(more.end(), flags.begin(), flags.end());
    const test::Outcome outcome =
        test::run_prune(test::small_run(test::model_folder(), path("out").string(), more));
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  const test::Outcome outcome = test::run_prune(
      {"--model", test::model_folder(), "--calibration", test::calibration_text(), "--nsamples",
       "1", "--target", "0.5", "--recover", "1", "--output", path("out").string()});
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("recovery needs --nsamples of 2 or more"));
}

TEST_F(Recover, NamesItsFlagsAsTheyWereGiven) {
  for (const auto& [flags, message] : std::vector<std::pair<Arguments, std::string>>{
           {{"--lr", "-1"}, "--lr -1 is negative"},
           {{"--batch", "0"}, "--batch 0 is not positive"},
           {{"--scope", "all"}, "--scope 'all' is not one of block, both, model"}}) {
    const test::Outcome outcome = recover(test::model_folder(), "out", flags);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
}

}  // namespace
}  // namespace prune
