#include <prune/checkpoint/checkpoint.h>

#include "cli/program.h"

namespace prune {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

class Generate : public testing::Test {
 protected:
  static const json& golden_text() {
    static const json kText =
        json::parse(test::bytes(test::golden() / "generation/greedy.json")).at("text");
    return kText;
  }

  static test::Outcome run(const std::string& model, const Arguments& more) {
    Arguments arguments = {"generate", "--quiet", "--model", model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run_prune(arguments);
  }

  static json generate(const std::string& model, Arguments more) {
    more.emplace_back("--json");
    const test::Outcome outcome = run(model, more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }

  test::TemporaryFolder folder_;
};

TEST_F(Generate, ContinuesATextAsTransformersDoes) {
  const std::string prompt = golden_text().at("prompt");
  const json result = generate(test::model_folder(), {"--prompt", prompt, "--max-tokens", "64"});
  EXPECT_EQ(result.at("ids"), golden_text().at("ids"));
  EXPECT_EQ(result.at("text"), golden_text().at("continuation"));
  EXPECT_EQ(result.at("stopped_by"), "tokens");
  const test::Outcome streamed =
      run(test::model_folder(), {"--prompt", prompt, "--max-tokens", "64"});
  EXPECT_EQ(streamed.out, golden_text().at("continuation").get<std::string>() + "\n");
}

// Pruned, quantized and packed: what is kept packed in memory is the same whichever file it comes from.
TEST_F(Generate, APackedCheckpointWritesTheTextOfItsSource) {
  const std::string pruned = (folder_.path() / "pruned").string();
  const std::string packed = (folder_.path() / "packed").string();
  ASSERT_EQ(test::run_prune({"--model", test::model_folder(), "--target", "0.6", "--wbits", "4",
                             "--group-size", "64", "--calibration", test::calibration_text(),
                             "--nsamples", "4", "--seqlen", "64", "--output", pruned})
                .code,
            0);
  ASSERT_EQ(test::run_prune({"pack", "--model", pruned, "--output", packed}).code, 0);
  const Arguments more = {"--prompt", "It was", "--max-tokens", "16"};
  const json want = generate(pruned, more);
  EXPECT_EQ(want.at("ids").size(), 16);
  EXPECT_EQ(generate(packed, more).at("ids"), want.at("ids"));
  Arguments dense = more;
  dense.insert(dense.end(), {"--dtype", "float16"});
  EXPECT_EQ(generate(pruned, dense).at("dtype"), "float16");
  // Perplexity needs no unpacking either; panels of expanded weights are multiplied instead of whole ones.
  const auto perplexity = [](const std::string& model) {
    const test::Outcome outcome = test::run_prune({"eval", "--model", model, "--data",
                                                   (test::fixtures() / "books.test.txt").string(),
                                                   "--seqlen", "64", "--segments", "4", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out).at("perplexity").get<double>();
  };
  const double of_pruned = perplexity(pruned);
  EXPECT_NEAR(perplexity(packed), of_pruned, 1e-5 * of_pruned);
}

TEST_F(Generate, OfAPackedModelEqualsThatOfTheUnpackedOne) {
  const std::string pruned = (folder_.path() / "pruned").string();
  const std::string packed = (folder_.path() / "packed").string();
  ASSERT_EQ(test::run_prune(test::small_run(test::model_folder(), pruned)).code, 0);
  ASSERT_EQ(test::run_prune({"pack", "--model", pruned, "--output", packed, "--quiet"}).code, 0);
  const Arguments flags = {"--prompt", "It was a dark night", "--max-tokens", "16"};
  EXPECT_EQ(generate(packed, flags).at("ids"), generate(pruned, flags).at("ids"));
}

TEST_F(Generate, BenchMeasuresEachModel) {
  const test::Outcome outcome =
      test::run_prune({"bench", "--model", test::model_folder(), test::model_folder(), "--json",
                       "--prompt-tokens", "16", "--max-tokens", "4", "--repeats", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json results = json::parse(outcome.out);
  ASSERT_EQ(results.size(), 2);
  for (const json& result : results) {
    EXPECT_EQ(result.at("dtype"), "float32");
    // float16 weights of six blocks of width 256, and the head
    EXPECT_EQ(result.at("parameters"), 6 * (4 * 256 * 256 + 2 * 256 * 1024) + 4096 * 256);
    EXPECT_GT(result.at("tokens_per_s"), 0.0);
    EXPECT_GT(result.at("share_of_bandwidth"), 0.0);
    EXPECT_NEAR(result.at("weight_bytes").at("16 bits").get<double>(),
                2.0 * result.at("parameters").get<double>(), 1e5);
  }
  const test::Outcome too_long = test::run_prune(
      {"bench", "--model", test::model_folder(), "--prompt-tokens", "500", "--max-tokens", "13"});
  EXPECT_EQ(too_long.code, 3);
  EXPECT_THAT(too_long.err, HasSubstr("exceed the model's 512 positions"));
  EXPECT_EQ(test::run_prune({"bench", "--model", test::model_folder(), "--max-tokens", "1"}).code,
            2);
}

TEST_F(Generate, ReadsThePromptFromStdin) {
  const std::string prompt = golden_text().at("prompt");
  const test::Outcome outcome = test::run_shell(
      "printf %s " + test::quoted(prompt) + " | " + PRUNE_PROGRAM + " generate --quiet --model " +
      test::quoted(test::model_folder()) + " --prompt - --max-tokens 64");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, golden_text().at("continuation").get<std::string>() + "\n");
}

TEST_F(Generate, StopsAtTheTokenThatEndsAText) {
  const std::filesystem::path model = test::copy_model(folder_);
  const auto ids = golden_text().at("ids").get<std::vector<int64_t>>();
  json config = json::parse(test::bytes(model / "config.json"));
  config["eos_token_id"] = {ids.at(2), 4000};
  std::filesystem::remove(model / "generation_config.json");
  folder_.write("model/config.json", config.dump());
  const Arguments flags = {"--prompt", golden_text().at("prompt"), "--max-tokens", "64"};
  json result = generate(model.string(), flags);
  EXPECT_EQ(result.at("stopped_by"), "end");
  EXPECT_EQ(result.at("ids").size(), 2);
  // generation_config.json counts before config.json.
  folder_.write("model/generation_config.json", json{{"eos_token_id", ids.at(1)}}.dump());
  result = generate(model.string(), flags);
  EXPECT_EQ(result.at("ids").size(), 1);
}

TEST_F(Generate, StopsWhereTheModelHasNoMorePositions) {
  const std::filesystem::path model = test::copy_model(folder_);
  json config = json::parse(test::bytes(model / "config.json"));
  const auto positions = config.at("max_position_embeddings").get<int64_t>();
  const json result = generate(
      model.string(), {"--prompt", "It was", "--max-tokens", "100000", "--temperature", "1"});
  EXPECT_EQ(result.at("stopped_by"), "positions");
  EXPECT_EQ(result.at("prompt_tokens").get<int64_t>() + std::ssize(result.at("ids")),
            positions + 1);
}

TEST_F(Generate, DrawsTheSameTextForTheSameSeed) {
  const auto draw = [&](const std::string& seed) {
    return generate(test::model_folder(), {"--prompt", "It was", "--max-tokens", "24",
                                           "--temperature", "1", "--top-p", "0.9", "--seed", seed})
        .at("ids");
  };
  EXPECT_EQ(draw("1"), draw("1"));
  EXPECT_NE(draw("1"), draw("2"));
}

TEST_F(Generate, AsksAChatModelByItsTemplate) {
  const std::filesystem::path model = test::copy_model(folder_);
  const Arguments chat = {"--prompt", "was a dark", "--chat", "--max-tokens", "8"};
  test::Outcome outcome = run(model.string(), chat);
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("chat template"));
  folder_.write("model/chat_template.jinja",
                "It {{ messages[0].content }}{% if add_generation_prompt %} night, and the"
                "{% endif %}");
  EXPECT_EQ(generate(model.string(), chat).at("text"),
            generate(model.string(), {"--prompt", "It was a dark night, and the", "--max-tokens",
                                      "8", "--add-bos", "off"})
                .at("text"));
}

TEST_F(Generate, RefusesWhatMakesNoSense) {
  const std::string model = test::model_folder();
  for (const auto& [flags, message] : std::vector<std::pair<Arguments, std::string>>{
           {{}, "--prompt is missing"},
           {{"--prompt", "x", "--max-tokens", "0"}, "--max-tokens 0 is not positive"},
           {{"--prompt", "x", "--temperature", "-1"}, "--temperature -1 is not between 0 and"},
           {{"--prompt", "x", "--top-p", "0"}, "--top-p 0 is not in (0, 1]"}}) {
    const test::Outcome outcome = run(model, flags);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  const test::Outcome empty = run(model, {"--prompt", "", "--add-bos", "off"});
  EXPECT_EQ(empty.code, 3) << empty.err;
  EXPECT_THAT(empty.err, HasSubstr("the prompt has no token"));
  std::string words;
  for (int i = 0; i < 3000; ++i) words += " word";
  const test::Outcome longer = run(model, {"--prompt", words});
  EXPECT_EQ(longer.code, 3) << longer.err;
  EXPECT_THAT(longer.err, HasSubstr("positions"));
}

}  // namespace
}  // namespace prune
