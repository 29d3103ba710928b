#include "cli/program.h"

namespace prune {
namespace {

using testing::Contains;
using testing::HasSubstr;

class PlanCommand : public testing::Test {
 protected:
  nlohmann::json plan(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"plan", "--json", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const test::Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? nlohmann::json::parse(outcome.out) : nlohmann::json();
  }

  std::string config_only(const std::string& config) {
    folder_.write("model/config.json", config);
    return (folder_.path() / "model").string();
  }

  test::TemporaryFolder folder_;
};

TEST_F(PlanCommand, SaysWhatTheRunThenDoes) {
  const std::string output = (folder_.path() / "out").string();
  const std::vector<std::string> flags = {"--model",       test::model_folder(),
                                          "--target",      "0.7",
                                          "--calibration", test::calibration_text(),
                                          "--nsamples",    "4",
                                          "--seqlen",      "64",
                                          "--output",      output};
  const nlohmann::json planned = plan(flags);
  EXPECT_FALSE(std::filesystem::exists(output));
  EXPECT_FALSE(std::filesystem::exists(output + ".partial"));
  EXPECT_TRUE(planned.at("warnings").empty()) << planned.at("warnings");

  std::vector<std::string> run = flags;
  run.push_back("--quiet");
  ASSERT_EQ(test::run_prune(run).code, 0);
  const nlohmann::json report = test::read_report(output);
  EXPECT_EQ(planned.at("layers"), report.at("layers").size());
  EXPECT_EQ(planned.at("weights"), report.at("weights"));
  EXPECT_EQ(planned.at("passes"), nlohmann::json({"estimate", "prune"}));
  for (const char* key : {"family", "blocks", "hidden_size", "parameters", "dtype"}) {
    EXPECT_EQ(planned.at("model").at(key), report.at("model").at(key)) << key;
  }
  for (const auto& [phase, seconds] : report.at("elapsed_s").items()) {
    EXPECT_TRUE(planned.at("elapsed_s").contains(phase)) << phase;
  }
  EXPECT_NEAR(planned.at("output").at("bytes").get<double>(),
              static_cast<double>(std::filesystem::file_size(output + "/model.safetensors")), 2e4);
  EXPECT_THAT(plan(flags).at("warnings"), Contains(HasSubstr("output exists already")));
}

TEST_F(PlanCommand, OfARecoveryAlonePrunesNothing) {
  const std::string pruned = (folder_.path() / "pruned").string();
  const std::string output = (folder_.path() / "out").string();
  const std::vector<std::string> text = {
      "--calibration", test::calibration_text(), "--nsamples", "4", "--seqlen", "64"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), text.begin(), text.end());
    return flags;
  };
  ASSERT_EQ(test::run_prune(with({"--model", test::model_folder(), "--target", "0.7", "--output",
                                  pruned, "--quiet"}))
                .code,
            0);
  const nlohmann::json planned = plan(with({"--model", pruned, "--schedule", "kept", "--target",
                                            "0.7", "--recover", "2", "--output", output}));
  EXPECT_EQ(planned.at("passes"), nlohmann::json({"recover"}));
  ASSERT_EQ(test::run_prune(with({"recover", "--model", pruned, "--teacher", test::model_folder(),
                                  "--steps", "2", "--output", output, "--quiet"}))
                .code,
            0);
  for (const auto& [phase, seconds] : test::read_report(output).at("elapsed_s").items()) {
    EXPECT_TRUE(planned.at("elapsed_s").contains(phase)) << phase;
  }
}

TEST_F(PlanCommand, OfOpt66bNeedsItsConfigOnly) {
  const std::string model = config_only(
      R"({"model_type": "opt", "hidden_size": 9216, "ffn_dim": 36864, "num_hidden_layers": 64,
          "num_attention_heads": 72, "word_embed_proj_dim": 9216, "vocab_size": 50272,
          "max_position_embeddings": 2048, "torch_dtype": "float16"})");
  const nlohmann::json planned = plan({"--model", model, "--target", "0.7", "--world-size", "8"});
  EXPECT_EQ(planned.at("layers"), 384);
  EXPECT_EQ(planned.at("hidden_states").at("bytes"), 16LL * 2048 * 9216 * 4);
  EXPECT_EQ(planned.at("ranks").size(), 8U);
  EXPECT_EQ(planned.at("exchange_per_block").at("weight_bytes"), 12LL * 9216 * 9216 * 2);
  EXPECT_THAT(planned.at("warnings"), Contains(HasSubstr("no weight files")));
  EXPECT_GT(planned.at("elapsed_s").at("prune"), planned.at("elapsed_s").at("write"));
}

TEST_F(PlanCommand, OfBloom560mSaysThatItsDtypeIsAGuess) {
  const std::string model = config_only(
      R"({"model_type": "bloom", "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16,
          "vocab_size": 250880})");
  const nlohmann::json planned = plan({"--model", model, "--target", "0.5"});
  EXPECT_EQ(planned.at("model").at("parameters"), 559214592);
  EXPECT_EQ(planned.at("output").at("bytes"), 2 * 559214592);
  EXPECT_THAT(planned.at("warnings"), Contains(HasSubstr("bfloat16 is assumed")));
  const test::Outcome table = test::run_prune(
      {"plan", "--model", model, "--target", "0.5", "--schedule", "uniform", "--seqlen", "64"});
  EXPECT_THAT(table.out, HasSubstr("96 layers"));
}

TEST_F(PlanCommand, RefusesSamplesOfWhichAttentionWouldSelectKeys) {
  const std::string model = config_only(
      R"({"model_type": "glm_moe_dsa", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
          "num_attention_heads": 4, "vocab_size": 96, "moe_intermediate_size": 12, "n_routed_experts": 4,
          "num_experts_per_tok": 2, "q_lora_rank": 20, "kv_lora_rank": 12, "qk_nope_head_dim": 10,
          "qk_rope_head_dim": 4, "v_head_dim": 8, "index_topk": 64, "first_k_dense_replace": 1})");
  const test::Outcome refused =
      test::run_prune({"plan", "--model", model, "--target", "0.5", "--seqlen", "65"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--seqlen 65 is longer than index_topk 64 of config.json"));
  const nlohmann::json planned = plan({"--model", model, "--target", "0.5", "--nsamples", "4"});
  EXPECT_EQ(planned.at("calibration").at("seqlen"), 64) << "the default is the longest";
}

TEST_F(PlanCommand, OfFewerExpertsIsThatOfTheSmallerModel) {
  const std::string model = config_only(
      R"({"model_type": "qwen3_moe", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
          "num_attention_heads": 4, "head_dim": 8, "vocab_size": 96, "moe_intermediate_size": 12,
          "num_experts": 8, "num_experts_per_tok": 2})");
  const auto planned = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--model", model, "--nsamples", "4", "--seqlen", "16"});
    return plan(flags);
  };
  const nlohmann::json whole = planned({"--schedule", "kept"});
  EXPECT_THAT(whole.at("passes"), testing::IsEmpty()) << "nothing is pruned";
  const nlohmann::json fewer = planned({"--experts", "0.5"});
  EXPECT_THAT(fewer.at("passes"), testing::ElementsAre("choose"));
  EXPECT_EQ(fewer.at("model").at("parameters"),
            whole.at("model").at("parameters").get<int64_t>() - 2 * 4 * (3 * 12 * 32 + 32));
  const nlohmann::json both = planned({"--experts", "0.5", "--target", "0.5"});
  EXPECT_THAT(both.at("passes"), testing::ElementsAre("choose", "estimate", "prune"));
  EXPECT_EQ(both.at("model"), fewer.at("model"));
  const test::Outcome refused =
      test::run_prune({"plan", "--model", model, "--target", "0.5", "--order", "block"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--order block: model_type 'qwen3_moe' has experts"));
}

TEST_F(PlanCommand, RefusesWhatTheRunWouldRefuse) {
  const auto refused = [&](std::vector<std::string> flags, int code, const std::string& message) {
    flags.insert(flags.begin(), "plan");
    const test::Outcome outcome = test::run_prune(flags);
    EXPECT_EQ(outcome.code, code);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_EQ(outcome.out, "");
  };
  const std::string model = test::model_folder();
  refused({"--model", model}, 2, "--target is missing");
  refused({"--model", model, "--target", "0.7", "--world-size", "0"}, 2,
          "--world-size 0 is not positive");
  refused({"--model", "opt-66b", "--target", "0.7"}, 3, "hf download facebook/opt-66b");
  refused({"--model", config_only(R"({"model_type": "mpt"})"), "--target", "0.7"}, 3,
          "model_type 'mpt' is not supported");
  refused({"--model", model, "--target", "0.7", "--include", "nothing"}, 2, "leave no layer");
  refused({"--model", model, "--experts", "0.5"}, 2, "--experts: model_type 'opt' has none");
}

}  // namespace
}  // namespace prune
