#include <prune/tokenizer/tokenizer.h>

#include "golden_folder.h"
#include "golden_ids.h"

namespace prune::tokenizer {
namespace {

using test::fixtures;
using test::TemporaryFolder;

// Ids of the `tokenizers` package for every rule set (scripts/golden/calibration.py).
class RuleSet : public testing::TestWithParam<size_t> {
 protected:
  static void SetUpTestSuite() { cases() = golden_file("cases.json"); }
  static json& cases() {
    static json file;
    return file;
  }
};

TEST_P(RuleSet, GivesTheIdsOfTheTokenizersPackage) {
  const json& one = cases()["cases"][GetParam()];
  SCOPED_TRACE(one["name"].get<std::string>());
  json description = golden_file((one["base"].get<std::string>() + ".json").c_str());
  description.merge_patch(one["patch"]);
  const TemporaryFolder folder;
  folder.write("tokenizer.json", description.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), one["vocab_size"].get<int64_t>());
  const json& texts = cases()["texts"];
  for (int pass = 0; pass < 2; ++pass) {  // the second pass has a warm cache
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(texts[i].dump());
      test::expect_ids(tokenizer->encode(test::bytes_of(texts[i])), one["ids"][i]);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Golden, RuleSet, testing::ValuesIn(indices_of("cases.json", "cases")));

TEST(InlineTokenizers, GiveTheIdsOfTheTokenizersPackage) {
  const json file = golden_file("cases.json");
  ASSERT_EQ(file["inline"].size(), 2U);
  for (const json& one : file["inline"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    json description = one["tokenizer"];
    if (description.contains("base")) {
      description = golden_file((description["base"].get<std::string>() + ".json").c_str());
    }
    const TemporaryFolder folder;
    folder.write("tokenizer.json", description.dump());
    const auto tokenizer = load_tokenizer(folder.path());
    for (size_t i = 0; i < one["texts"].size(); ++i) {
      SCOPED_TRACE(one["texts"][i].dump());
      test::expect_ids(tokenizer->encode(one["texts"][i].get<std::string>()), one["ids"][i]);
    }
  }
}

// The package normalises by Unicode 9: it does not reorder later marks or compose later letters. Its
// normalizers.NFC() and NFKC() (0.23.3) change only the third text below.
TEST(Normalization, CharactersNewerThanTheReferenceAreInert) {
  for (const char* form : {"NFC", "NFKC"}) {
    const TemporaryFolder folder;
    json vocab = json::object();
    for (const char* token : {"x", "\u0301", "\u0d3b", "\U00011935", "\U00011930", "\u0323",
                              "\u32ff", "\ud37c", "\u11a7"}) {
      vocab[token] = vocab.size();
    }
    const json description = {
        {"normalizer", {{"type", form}}},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}};
    folder.write("tokenizer.json", description.dump());
    const auto tokenizer = load_tokenizer(folder.path());
    EXPECT_THAT(tokenizer->encode("x\u0301\u0d3b"), testing::ElementsAre(0, 1, 2));
    EXPECT_THAT(tokenizer->encode("\U00011935\U00011930"), testing::ElementsAre(3, 4));
    EXPECT_THAT(tokenizer->encode("x\u0301\u0323"), testing::ElementsAre(0, 5, 1));
    EXPECT_THAT(tokenizer->encode("\u32ff"), testing::ElementsAre(6));
    EXPECT_THAT(tokenizer->encode("\ud37c\u11a7"), testing::ElementsAre(7, 8));
  }
}

// Ids of Transformers for folders with tokenizer_config.json and its companions.
class Folder : public testing::TestWithParam<size_t> {};

TEST_P(Folder, GivesTheIdsOfTransformers) {
  const json file = golden_file("folders.json");
  const json& one = file["cases"][GetParam()];
  SCOPED_TRACE(one["name"].get<std::string>());
  const TemporaryFolder folder;
  lay_all(one, folder);
  const auto tokenizer = load_tokenizer(folder.path());
  const std::optional<int64_t> bos = tokenizer->bos_id();
  EXPECT_EQ(bos ? json(*bos) : json(nullptr), file["bos_ids"][GetParam()]);
  for (size_t i = 0; i < file["texts"].size(); ++i) {
    SCOPED_TRACE(file["texts"][i].dump());
    test::expect_ids(tokenizer->encode(test::bytes_of(file["texts"][i])), one["ids"][i]);
  }
}
INSTANTIATE_TEST_SUITE_P(Golden, Folder, testing::ValuesIn(indices_of("folders.json", "cases")));

// AutoTokenizer opens these repositories of the Hub with TokenizersBackend, whatever class they name.
TEST(TokenizerClass, IsIgnoredWhereTheHubNamesAWrongOne) {
  const TemporaryFolder folder;
  const auto ids_in = [&](const char* path) {
    std::filesystem::create_directories(folder.path() / path);
    lay("smollm2.json", folder.path() / path);
    folder.write(std::string(path) + "/tokenizer_config.json",
                 R"({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true})");
    return load_tokenizer(folder.path() / path)->encode("12");
  };
  const std::vector<int64_t> by_file = ids_in("deepseek-ai/DeepSeek-R1-Distill-Llama-8B");
  EXPECT_EQ(by_file.size(), 2U);
  EXPECT_EQ(ids_in("hub/models--deepseek-ai--deepseek-coder-6.7b-base/snapshots/a"), by_file);
  EXPECT_EQ(ids_in("deepseek-llm-7b").size(), 3U);  // the class's prefix space
}

class FixtureModel : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(FixtureModel, GivesTheIdsOfTheTokenizersPackageForWholeBooks) {
  const TemporaryFolder folder;
  for (const std::string& name : GetParam()) {
    std::filesystem::copy(fixtures() / "opt-books-6m" / name, folder.path());
  }
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 4096);
  const json file = golden_file("sampling.json");
  ASSERT_EQ(file["texts"].size(), 2U);
  for (const auto& [part, record] : file["texts"].items()) {
    SCOPED_TRACE(part);
    test::expect_ids(tokenizer->encode(read_file(fixtures() / ("books." + part + ".txt"))), record);
  }
}
INSTANTIATE_TEST_SUITE_P(BothForms, FixtureModel,
                         testing::Values(std::vector<std::string>{"tokenizer.json"},
                                         std::vector<std::string>{"vocab.json", "merges.txt",
                                                                  "config.json"}));

}  // namespace
}  // namespace prune::tokenizer
