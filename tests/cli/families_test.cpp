// A whole run on a tiny random checkpoint of every family and variant (scripts/golden/models.py).
#include <prune/checkpoint/checkpoint.h>
#include <prune/core/json_file.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <set>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

const json& golden_cases() {
  static const json kFacts = read_json(test::golden() / "models/cases.json");
  return kFacts.at("cases");
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& [name, facts] : golden_cases().items()) names.push_back(name);
  return names;
}

/// One id for each of the 95 printable ASCII characters and the newline: the models' vocabulary is 96.
std::string character_tokenizer() {
  json vocab = {{"\n", 95}};
  for (char c = ' '; c <= '~'; ++c) vocab[std::string(1, c)] = c - ' ';
  return json{{"added_tokens", json::array()},
              {"normalizer", nullptr},
              {"pre_tokenizer", nullptr},
              {"post_processor", nullptr},
              {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}}
      .dump();
}

/// A page of a book is enough for tiny models.
std::string some_text() {
  std::ifstream stream(test::fixtures() / "books.test.txt", std::ios::binary);
  std::string text(4000, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  return text;
}

int64_t zeros_in(const fs::path& folder) {
  const auto checkpoint = checkpoint::Checkpoint::open(folder);
  int64_t zeros = 0;
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = checkpoint.load(name);
    zeros += tensor.numel() - tensor.count_nonzero().item<int64_t>();
  }
  return zeros;
}

class Families : public testing::TestWithParam<std::string> {
 protected:
  Families() : facts_(golden_cases().at(GetParam())) {
    folder_.write("model/config.json", facts_.at("config").dump());
    folder_.write("model/tokenizer.json", character_tokenizer());
    folder_.write("model/tokenizer_config.json",
                  R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
    const auto weights = facts_.at("weights").get<std::string>();
    fs::copy(test::golden() / "models" / weights,
             model() / (weights.ends_with(".bin") ? "pytorch_model.bin" : "model.safetensors"));
  }

  fs::path model() const { return folder_.path() / "model"; }
  fs::path output() const { return folder_.path() / "out"; }
  std::string seqlen() const {
    const json& config = facts_.at("config");
    return std::to_string(
        std::min<int64_t>(16, value_or<int64_t>(config, "max_position_embeddings", 16)));
  }

  bool has_experts() const {
    const json& config = facts_.at("config");
    const json& text = config.contains("text_config") ? config.at("text_config") : config;
    return std::ranges::any_of(
        std::array{"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"},
        [&](const char* key) { return text.contains(key); });
  }

  /// Every tensor but the pruned weights is the source's: norms, biases, ends, other towers.
  void expect_the_rest_unchanged(const json& report) const {
    std::set<std::string> layers;
    for (const json& layer : report.at("layers")) {
      layers.insert(layer.at("name").get<std::string>() + ".weight");
    }
    const auto source = checkpoint::Checkpoint::open(model());
    const auto written = checkpoint::Checkpoint::open(output());
    size_t kept = 0;
    for (const std::string& name : written.names()) {
      // Stacks over experts hold pruned layers, too.
      if (layers.contains(name) || written.info(name).shape.size() == 3) continue;
      // Canonical names: the source's may lack the prefix or hold a tied head.
      const auto stored = std::ranges::find_if(source.names(), [&](const std::string& of_source) {
        return name == of_source || name.ends_with("." + of_source);
      });
      if (stored == source.names().end()) continue;
      EXPECT_TRUE(at::equal(written.load(name), source.load(*stored))) << name;
      ++kept;
    }
    EXPECT_GE(kept, 2U);
    EXPECT_GE(written.names().size() + 1, source.names().size());
  }

  const json& facts_;
  const test::TemporaryFolder folder_;
};

TEST_P(Families, PruneRecoverAndEvaluate) {
  const std::string text = folder_.write("text.txt", some_text()).string();
  // One thread: the models are so small that more would only wait for each other.
  const std::vector<std::string> arguments = {"--model",         model().string(),
                                              "--calibration",   text,
                                              "--nsamples",      "8",
                                              "--seqlen",        seqlen(),
                                              "--target",        "0.6",
                                              "--recover",       "2",
                                              "--recover-scope", "both",
                                              "--output",        output().string(),
                                              "--eval",          text,
                                              "--eval-segments", "8",
                                              "--threads",       "1",
                                              "--quiet"};
  const test::Outcome pruned = test::run_prune(arguments);
  ASSERT_EQ(pruned.code, 0) << pruned.err;
  const json report = test::read_report(output());
  const auto weights = report.at("weights").get<double>();
  EXPECT_EQ(report.at("zeros").get<int64_t>(), std::llround(0.6 * weights));

  // Nothing but the pruned weights has become zero in the file.
  EXPECT_EQ(zeros_in(output()) - zeros_in(model()), report.at("zeros").get<int64_t>());
  for (const json& fallback : report.at("fallbacks")) {
    // Few tokens leave experts without any; two steps need not make a random model better.
    EXPECT_TRUE(has_experts() || fallback.at("where") == "recovery") << fallback;
  }
  EXPECT_EQ(report.at("recovery").at("losses").size(), 2U);
  EXPECT_EQ(report.at("recovery").at("blocks").size(), report.at("model").at("blocks"));

  // The report's perplexity is that of the written checkpoint.
  const test::Outcome evaluated =
      test::run_prune({"eval", "--json", "--quiet", "--model", output().string(), "--data", text,
                       "--segments", "8", "--seqlen", seqlen(), "--threads", "1"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_EQ(json::parse(evaluated.out).at("perplexity"),
            report.at("evaluation").at("perplexity_pruned"));
  EXPECT_EQ(read_json(output() / "config.json"), facts_.at("config"));
  expect_the_rest_unchanged(report);
}

INSTANTIATE_TEST_SUITE_P(Cases, Families, testing::ValuesIn(case_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace prune
