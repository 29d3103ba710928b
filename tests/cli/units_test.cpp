// Whole channels, heads and blocks that are removed.
#include <prune/checkpoint/checkpoint.h>

#include "cli/smaller_models.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

constexpr int kSamples = 16;

class Units : public test::SmallerModels {
 protected:
  Units() : SmallerModels(/*seqlen=*/32) {}

  Arguments arguments(const std::string& model, const Arguments& more) const {
    return SmallerModels::arguments(model, more, kSamples);
  }
  test::Outcome run(const std::string& model, Arguments more) const {
    more.emplace_back("--overwrite");
    return test::run_prune(arguments(model, more));
  }
  json config() const { return json::parse(test::bytes(output() / "config.json")); }
};

/// True if every row of `part` is a row of `whole`, in the same sequence.
bool rows_are_of(const Tensor& part, const Tensor& whole) {
  int64_t row = 0;
  for (int64_t i = 0; i < whole.size(0) && row < part.size(0); ++i) {
    if (at::equal(part[row], whole[i])) ++row;
  }
  return row == part.size(0);
}

TEST_F(Units, GoTogetherAndTheConfigurationSaysSo) {
  const std::string source = model("smollm3");
  const test::Outcome outcome =
      run(source, {"--ffn", "0.25", "--heads", "0.5", "--blocks", "0.5", "--strict"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(config().at("num_hidden_layers"), 2);
  EXPECT_EQ(config().at("layer_types").size(), 2U);
  EXPECT_EQ(config().at("no_rope_layers").size(), 2U);
  EXPECT_EQ(config().at("intermediate_size"), 36);
  EXPECT_EQ(config().at("num_attention_heads"), 2);
  EXPECT_EQ(config().at("num_key_value_heads"), 1);
  EXPECT_EQ(config().at("head_dim"), 8);

  const json report = test::read_report(output());
  EXPECT_EQ(report.at("zeros"), 0);
  const json& units = report.at("units");
  EXPECT_EQ(units.at("ffn").at("after"), 36);
  EXPECT_EQ(units.at("heads").at("after"), 1);
  for (const char* const kind : {"ffn", "heads"}) {
    ASSERT_EQ(units.at(kind).at("errors").size(), 2U);
    for (const json& error : units.at(kind).at("errors")) {
      EXPECT_GT(error, 0.0);
      EXPECT_LT(error, 1.0);
    }
  }
  const auto before = checkpoint::Checkpoint::open(source);
  const auto after = checkpoint::Checkpoint::open(output());
  std::vector<int64_t> kept = {0, 1, 2, 3};
  for (const json& removed : units.at("blocks").at("removed")) {
    std::erase(kept, removed.at("block").get<int64_t>());
  }
  for (size_t block = 0; block < 2; ++block) {
    const auto name = [](int64_t number, const char* layer) {
      return fmt::format("model.layers.{}.{}.weight", number, layer);
    };
    const auto number = static_cast<int64_t>(block);
    for (const char* const layer : {"mlp.up_proj", "mlp.gate_proj", "self_attn.v_proj"}) {
      EXPECT_TRUE(
          rows_are_of(after.load(name(number, layer)), before.load(name(kept[block], layer))))
          << layer;
    }
    EXPECT_EQ(after.info(name(number, "mlp.down_proj")).shape, (std::vector<int64_t>{32, 36}));
    EXPECT_EQ(after.info(name(number, "self_attn.o_proj")).shape, (std::vector<int64_t>{32, 16}));
  }
  EXPECT_EQ(evaluate().code, 0);
}

TEST_F(Units, GoBeforeAnythingElseIsDone) {
  const std::string source = model("llama");
  for (const Arguments& more : {
           Arguments{"--target", "0.5", "--solver", "alps"},
           Arguments{"--pattern", "2:4"},
           Arguments{"--target", "0.5", "--wbits", "4", "--group-size", "-1"},
           Arguments{"--recover", "2"},
           Arguments{"--recover", "2", "--target", "0.5", "--recover-scope", "both"},
           Arguments{"--recover", "2", "--target", "0.5", "--wbits", "4", "--group-size", "-1"},
       }) {
    SCOPED_TRACE(testing::PrintToString(more));
    Arguments flags = {"--ffn", "0.34", "--heads", "0.5"};
    flags.insert(flags.end(), more.begin(), more.end());
    const test::Outcome outcome = run(source, flags);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json report = test::read_report(output());
    EXPECT_EQ(config().at("intermediate_size"), 32);
    EXPECT_EQ(config().at("num_key_value_heads"), 1);
    EXPECT_EQ(report.at("units").at("ffn").at("after"), 32);
    const bool prunes = more.front() != "--recover" || more.size() > 2;
    const auto weights = report.at("weights").get<double>();
    EXPECT_NEAR(report.at("zeros").get<double>(), prunes ? 0.5 * weights : 0.0, 0.02 * weights)
        << "rounding makes some more";
    EXPECT_EQ(evaluate().code, 0);
  }
}

TEST_F(Units, OfAMixtureGoWithItsExperts) {
  const test::Outcome outcome = run(model("qwen3_moe"), {"--heads", "0.5", "--blocks", "0.5",
                                                         "--experts", "0.4", "--target", "0.5"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(config().at("num_hidden_layers"), 1);
  EXPECT_EQ(config().at("num_local_experts"), 8);
  EXPECT_EQ(config().at("num_key_value_heads"), 1);
  EXPECT_EQ(evaluate().code, 0);
}

TEST_F(Units, APlanIsThatOfTheSmallerModel) {
  const std::string source = model("llama");
  const auto output_bytes = [&](Arguments more) {
    more.insert(more.begin(), {"plan", "--json"});
    const test::Outcome outcome = test::run_prune(arguments(source, more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out).at("output").at("bytes").get<int64_t>();
  };
  EXPECT_LT(output_bytes({"--ffn", "0.5", "--heads", "0.5"}), output_bytes({"--target", "0.5"}));
}

TEST_F(Units, AnOutputThatIsThereIsRefusedBeforeAnyWork) {
  const std::string source = model("llama");
  ASSERT_EQ(run(source, {"--ffn", "0.5"}).code, 0);
  const test::Outcome again = test::run_prune(arguments(source, {"--ffn", "0.5"}));
  EXPECT_EQ(again.code, 6) << again.err;
  EXPECT_THAT(again.err, HasSubstr("output exists already"));
  const std::string before = test::bytes(output() / "model.safetensors");
  const test::Outcome resumed = test::run_prune(arguments(source, {"--ffn", "0.5", "--resume"}));
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_TRUE(test::bytes(output() / "model.safetensors") == before);
  const test::Outcome other = test::run_prune(arguments(source, {"--ffn", "0.25", "--resume"}));
  EXPECT_NE(other.code, 0);
  EXPECT_THAT(other.err, HasSubstr("'options/ffn' was 0.5, now it is 0.25"));
}

TEST_F(Units, AFileThatDoesNotHoldThemIsRefused) {
  const Arguments flags = arguments(model("llama"), {"--ffn", "0.5", "--resume"});
  std::string command = "PRUNE_TEST_KILL_AT='before the units of a block are recorded:2' ";
  command += PRUNE_PROGRAM;
  for (const std::string& flag : flags) command += " " + test::quoted(flag);
  EXPECT_NE(test::run_shell(command).code, 0);
  folder_.write("out.partial/.prune-units-0.safetensors", std::string("\2\0\0\0\0\0\0\0{}", 10));
  const test::Outcome resumed = test::run_prune(flags);
  EXPECT_EQ(resumed.code, 3) << resumed.err;
  EXPECT_THAT(resumed.err, testing::AllOf(HasSubstr(".prune-units-0.safetensors"),
                                          HasSubstr("--overwrite starts again")));
}

TEST_F(Units, StatisticsOfTheWholeModelDoNotFit) {
  const std::string source = model("llama");
  ASSERT_EQ(run(source, {"--target", "0.5"}).code, 0);
  const std::string whole = (folder_.path() / "whole").string();
  fs::rename(output(), whole);
  const test::Outcome outcome = run(source, {"--target", "0.5", "--ffn", "0.5", "--stats", whole});
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("'units/ffn' was absent, now it is 0.5"));
}

TEST_F(Units, ImpossibleWishesAreRefusedBeforeAnyWork) {
  expect_refused(
      {test::Refusal{
           "none", "llama", {"--ffn", "0.001"}, "--ffn 0.001 removes none of 48 channels"},
       test::Refusal{"all", "llama", {"--heads", "0.9"}, "--heads 0.9 removes all of 2 key heads"},
       test::Refusal{"fraction", "llama", {"--blocks", "1"}, "--blocks 1 is not in [0, 1)"},
       test::Refusal{"experts", "mixtral", {"--ffn", "0.5"}, "--experts removes whole ones"},
       test::Refusal{"latents", "deepseek_v3", {"--heads", "0.5"}, "its heads share latents"},
       test::Refusal{"no key", "bloom", {"--ffn", "0.5"}, "model_type 'bloom': its config.json"},
       test::Refusal{
           "scales by number", "gpt2", {"--blocks", "0.3"}, "cannot say which blocks stay"},
       test::Refusal{"scope",
                     "llama",
                     {"--blocks", "0.5", "--recover", "2", "--recover-scope", "block"},
                     "--recover-scope block needs all blocks"}},
      kSamples);
}

}  // namespace
}  // namespace prune
