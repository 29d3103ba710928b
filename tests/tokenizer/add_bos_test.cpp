#include <prune/tokenizer/tokenizer.h>

#include "support.h"

namespace prune::tokenizer {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::ElementsAre;

/// "a" is 0, BOS 1, EOS 2; the post-processor puts `before` and `after` around a text.
std::unique_ptr<Tokenizer> tokenizer_with(const json& before, const json& after,
                                          const json& config = {{"bos_token", "<s>"}}) {
  const TemporaryFolder folder;
  const auto piece = [](const json& name) -> json { return {{"SpecialToken", {{"id", name}}}}; };
  json single = json::array();
  for (const json& name : before) single.push_back(piece(name));
  single.push_back({{"Sequence", {{"id", "A"}}}});
  for (const json& name : after) single.push_back(piece(name));
  folder.write("tokenizer.json",
               json{{"added_tokens",
                     {{{"content", "<s>"}, {"special", true}}, {{"content", "</s>"}, {"special", true}}}},
                    {"post_processor",
                     {{"type", "TemplateProcessing"},
                      {"single", single},
                      {"special_tokens", {{"<s>", {{"ids", {1}}}}, {"</s>", {{"ids", {2}}}}}}}},
                    {"model",
                     {{"type", "BPE"},
                      {"vocab", {{"a", 0}, {"<s>", 1}, {"</s>", 2}}},
                      {"merges", json::array()}}}}
                   .dump());
  folder.write("tokenizer_config.json", config.dump());
  return load_tokenizer(folder.path());
}

TEST(AddSpecialTokens, FalseSkipsThePostProcessor) {
  const auto tokenizer = tokenizer_with({"<s>"}, {"</s>"});
  EXPECT_THAT(tokenizer->encode("a"), ElementsAre(1, 0, 2));
  EXPECT_THAT(tokenizer->encode("a", false), ElementsAre(0));
  EXPECT_THAT(tokenizer->encode("<s>a", false), ElementsAre(1, 0));
}

TEST(BosId, IsThatOfTheNamedToken) {
  EXPECT_EQ(tokenizer_with({"<s>"}, {})->bos_id(), 1);
  EXPECT_EQ(tokenizer_with({"<s>"}, {})->leading_bos(), 1);
  EXPECT_EQ(tokenizer_with({}, {"<s>"})->leading_bos(), 0);
  EXPECT_EQ(tokenizer_with({"<s>"}, {}, json::object())->bos_id(), std::nullopt);
  EXPECT_EQ(tokenizer_with({"<s>"}, {}, {{"bos_token", nullptr}})->bos_id(), std::nullopt);
}

TEST(AddBosAuto, KeepsOneBosInFrontOfATextThatStartsWithIt) {
  const auto adds = tokenizer_with({"<s>"}, {"</s>"});
  EXPECT_THAT(encode_text(*adds, "a", AddBos::kAuto), ElementsAre(1, 0, 2));
  EXPECT_THAT(encode_text(*adds, "<s>a", AddBos::kAuto), ElementsAre(1, 0, 2));
  EXPECT_THAT(encode_text(*adds, "a<s>", AddBos::kAuto), ElementsAre(1, 0, 1, 2));
  EXPECT_THAT(encode_text(*adds, "", AddBos::kAuto), ElementsAre(1, 2));
  const auto adds_none = tokenizer_with(json::array(), json::array());
  EXPECT_THAT(encode_text(*adds_none, "<s>a", AddBos::kAuto), ElementsAre(1, 0));
  EXPECT_THAT(encode_text(*adds_none, "a", AddBos::kAuto), ElementsAre(0));
}

TEST(AddBosOn, PutsOneInFront) {
  for (const auto& tokenizer : {tokenizer_with({"<s>"}, {}), tokenizer_with({}, {})}) {
    EXPECT_THAT(encode_text(*tokenizer, "a", AddBos::kOn), ElementsAre(1, 0));
    EXPECT_THAT(encode_text(*tokenizer, "<s>a", AddBos::kOn), ElementsAre(1, 0));
    EXPECT_THAT(encode_text(*tokenizer, "", AddBos::kOn), ElementsAre(1));
  }
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [] {
                         encode_text(*tokenizer_with({}, {}, json::object()), "a", AddBos::kOn);
                       }),
              testing::HasSubstr("names no BOS token"));
}

TEST(AddBosOff, LeavesOnlyTheBosOfTheText) {
  const auto tokenizer = tokenizer_with({"<s>"}, {"</s>"});
  EXPECT_THAT(encode_text(*tokenizer, "a", AddBos::kOff), ElementsAre(0, 2));
  EXPECT_THAT(encode_text(*tokenizer, "<s>a", AddBos::kOff), ElementsAre(1, 0, 2));
}

// As in OPT's folders: the EOS after an empty text is no second BOS.
TEST(AddBos, TellsAnEosWithTheSameIdFromABos) {
  const auto tokenizer = tokenizer_with({"<s>"}, {"<s>"});
  EXPECT_THAT(encode_text(*tokenizer, "", AddBos::kAuto), ElementsAre(1, 1));
  EXPECT_THAT(encode_text(*tokenizer, "", AddBos::kOff), ElementsAre(1));
  EXPECT_THAT(encode_text(*tokenizer, "<s>", AddBos::kAuto), ElementsAre(1, 1));
}

}  // namespace
}  // namespace prune::tokenizer
