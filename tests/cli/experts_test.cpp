// Mixtures of experts: pruning within them and removing them.
#include <prune/checkpoint/checkpoint.h>

#include <numeric>

#include "cli/smaller_models.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

class Experts : public test::SmallerModels {
 protected:
  Experts() : SmallerModels(/*seqlen=*/4) {}

  test::Outcome run(const std::string& model, Arguments more, int nsamples = 8) const {
    more.emplace_back("--overwrite");
    return test::run_prune(arguments(model, more, nsamples));
  }
};

TEST_F(Experts, ReportHasTheirTokensAndThoseWithoutAnyAreSaid) {
  const std::string source = model("qwen3_moe");
  const test::Outcome outcome = run(source, {"--target", "0.5"}, 2);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = test::read_report(output());
  int64_t tokens = 0;
  std::vector<std::string> idle;
  for (const json& layer : report.at("layers")) {
    const std::string name = layer.at("name");
    EXPECT_EQ(layer.at("tokens").is_null(), name.find("experts") == std::string::npos) << name;
    if (!name.ends_with(".down_proj") || !name.starts_with("model.layers.0.")) continue;
    tokens += layer.at("tokens").get<int64_t>();
    if (layer.at("tokens") == 0) idle.push_back(name);
  }
  EXPECT_EQ(tokens, 2 * 4 * 2) << "each token has two experts";
  ASSERT_FALSE(idle.empty());
  const std::string first = idle.front().substr(0, idle.front().rfind('.'));
  EXPECT_THAT(report.at("fallbacks").dump(),
              AllOf(HasSubstr(first), HasSubstr("no calibration token reaches this expert")));
  // Pruned all the same.
  EXPECT_EQ(report.at("zeros"), std::llround(0.5 * report.at("weights").get<double>()));

  const test::Outcome strict = run(source, {"--target", "0.5", "--strict"}, 2);
  EXPECT_EQ(strict.code, 4) << strict.err;
  EXPECT_THAT(strict.err, HasSubstr("no calibration token reaches this expert"));

  const test::Outcome all =
      run(source, {"--target", "0.5", "--strict", "--calibrate-all-experts"}, 2);
  EXPECT_EQ(all.code, 0) << all.err;
}

TEST_F(Experts, GoWithTheirTensorsAndTheirRowsOfTheRouter) {
  const std::string source = model("qwen3_moe");
  const test::Outcome outcome = run(source, {"--experts", "0.4"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto before = checkpoint::Checkpoint::open(source);
  const auto after = checkpoint::Checkpoint::open(output());
  EXPECT_EQ(json::parse(test::bytes(output() / "config.json")).at("num_local_experts"), 8);
  const json report = test::read_report(output());
  for (size_t block = 0; block < 2; ++block) {
    const json& experts = report.at("experts").at("blocks").at(block);
    const auto kept = experts.at("kept").get<std::vector<int64_t>>();
    ASSERT_EQ(kept.size(), 8U);
    // The lowest scores are gone.
    const auto scores = experts.at("scores").get<std::vector<double>>();
    double lowest_kept = 1e9;
    for (const int64_t number : kept) {
      lowest_kept = std::min(lowest_kept, scores.at(static_cast<size_t>(number)));
    }
    EXPECT_EQ(std::ranges::count_if(scores, [&](double s) { return s < lowest_kept; }), 5);
    const std::string prefix = fmt::format("model.layers.{}.mlp.", block);
    EXPECT_TRUE(at::equal(after.load(prefix + "gate.weight"),
                          before.load(prefix + "gate.weight").index_select(0, at::tensor(kept))));
    for (size_t number = 0; number < kept.size(); ++number) {
      for (const char* layer : {"gate_proj", "up_proj", "down_proj"}) {
        const auto name = [&](int64_t expert) {
          return fmt::format("{}experts.{}.{}.weight", prefix, expert, layer);
        };
        EXPECT_TRUE(at::equal(after.load(name(static_cast<int64_t>(number))),
                              before.load(name(kept[number]))));
      }
    }
    EXPECT_FALSE(after.contains(prefix + "experts.8.up_proj.weight"));
  }
  EXPECT_EQ(report.at("zeros"), 0);
  const json& held_out = report.at("experts").at("held_out");
  EXPECT_EQ(held_out.at("samples"), 1);
  EXPECT_NE(held_out.at("perplexity_before"), held_out.at("perplexity_after"));
  const auto tokens =
      report.at("experts").at("blocks").at(0).at("tokens").get<std::vector<int64_t>>();
  EXPECT_EQ(std::reduce(tokens.begin(), tokens.end()), 7 * 4 * 2) << "the eighth sample chose none";
}

TEST_F(Experts, OfGroupsGoInEqualNumbers) {
  const test::Outcome outcome = run(model("deepseek_v3"), {"--experts", "0.25", "--target", "0.5"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = test::read_report(output());
  EXPECT_TRUE(report.at("experts").at("blocks").at(0).at("kept").empty()) << "a dense block";
  std::vector<int64_t> of_group(3);
  for (const json& number : report.at("experts").at("blocks").at(1).at("kept")) {
    ++of_group.at(static_cast<size_t>(number.get<int64_t>() / 4));
  }
  EXPECT_THAT(of_group, testing::Each(3));
  EXPECT_EQ(report.at("zeros"), std::llround(0.5 * report.at("weights").get<double>()));
}

TEST_F(Experts, ThatReadALatentOrHaveNormsOfTheirOwnAreScored) {
  for (const auto& [golden, block] :
       {std::pair{"nemotron_h_latent", 2}, {"gemma4_text_moe", 0}, {"step3p7", 1}}) {
    SCOPED_TRACE(golden);
    const test::Outcome outcome = run(model(golden), {"--experts", "0.25", "--target", "0.5"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json experts = test::read_report(output()).at("experts").at("blocks").at(block);
    for (size_t i = 0; i < experts.at("scores").size(); ++i) {
      EXPECT_EQ(experts.at("scores").at(i) > 0.0, experts.at("tokens").at(i) > 0) << i;
    }
    EXPECT_EQ(evaluate().code, 0);
  }
}

TEST_F(Experts, OfAWrappersTextModelGo) {
  for (const auto& [golden, key] :
       {std::pair{"kimi_k25", "n_routed_experts"}, {"minimax_m3_vl", "num_local_experts"}}) {
    const test::Outcome outcome = run(model(golden), {"--experts", "0.25"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json config = json::parse(test::bytes(output() / "config.json"));
    const json report = test::read_report(output());
    EXPECT_EQ(config.at("text_config").at(key),
              report.at("experts").at("blocks").at(1).at("kept").size());
    EXPECT_EQ(evaluate().code, 0);
  }
}

TEST_F(Experts, AResumedRunKeepsItsChoice) {
  const std::string source = model("qwen3_moe");
  const Arguments flags = {"--experts", "0.4", "--target", "0.5"};
  ASSERT_EQ(run(source, flags).code, 0);
  const std::string uninterrupted = test::bytes(output() / "model.safetensors");
  fs::remove_all(output());
  const std::string command = fmt::format(
      "{} --model {} --calibration {} --nsamples 8 --seqlen 4 --threads 1 --experts 0.4 --target "
      "0.5 "
      "--output {} --resume",
      PRUNE_PROGRAM, source, text_, output().string());
  EXPECT_NE(test::run_shell("PRUNE_TEST_KILL_AT='after a record:4' " + command).code, 0);
  const test::Outcome resumed = test::run_shell(command);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("; chosen before"));
  EXPECT_TRUE(test::bytes(output() / "model.safetensors") == uninterrupted);
}

TEST_F(Experts, ASmallerModelLearnsFromTheWholeOne) {
  const std::string source = model("mixtral");
  ASSERT_EQ(run(source, {"--experts", "0.4"}).code, 0);
  const fs::path smaller = folder_.path() / "smaller";
  fs::rename(output(), smaller);
  const test::Outcome outcome =
      test::run_prune({"recover", "--model", smaller.string(), "--teacher", source, "--steps", "4",
                       "--calibration", text_, "--nsamples", "8", "--seqlen", "32", "--output",
                       output().string(), "--quiet", "--threads", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = test::read_report(output());
  EXPECT_EQ(report.at("recovery").at("losses").size(), 4U);
}

TEST_F(Experts, ImpossibleWishesAreRefusedBeforeAnyWork) {
  expect_refused(
      {test::Refusal{"too many", "qwen3_moe", {"--experts", "0.95"}, "leaves 1 of 13 experts"},
       test::Refusal{"groups", "deepseek_v3", {"--experts", "0.8"}, "a token needs 3"},
       test::Refusal{"none", "llama", {"--experts", "0.5"}, "model_type 'llama' has none"},
       test::Refusal{"fraction", "qwen3_moe", {"--experts", "1"}, "--experts 1 is not in [0, 1)"},
       test::Refusal{
           "order", "qwen3_moe", {"--target", "0.5", "--order", "block"}, "--order block"}},
      /*nsamples=*/8);
}

}  // namespace
}  // namespace prune
