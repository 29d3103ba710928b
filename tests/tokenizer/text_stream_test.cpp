#include <prune/core/json_file.h>
#include <prune/tokenizer/tokenizer.h>

#include <algorithm>

#include "support.h"

namespace prune::tokenizer {
namespace {

using testing::ElementsAre;

using Ids = std::vector<int64_t>;

/// A tokenizer with these tokens, whose ids are their places in the list, and "<s>", which is special and last.
std::unique_ptr<Tokenizer> tokenizer_with(const json& decoder, std::vector<std::string> tokens) {
  json vocab = json::object();
  tokens.emplace_back("<s>");
  for (const std::string& token : tokens) vocab[token] = vocab.size();
  const test::TemporaryFolder folder;
  folder.write("tokenizer.json",
               json{{"added_tokens", {{{"content", "<s>"}, {"special", true}}}},
                    {"decoder", decoder},
                    {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}}
                   .dump());
  return load_tokenizer(folder.path());
}

const json& llama_decoder() {
  static const json kDecoder = json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
      {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  return kDecoder;
}

const json kByteLevel = {{"type", "ByteLevel"}};

/// What each push returns, then what finish returns.
std::vector<std::string> pieces(const Tokenizer& tokenizer, const Ids& ids, bool skip = true) {
  TextStream stream(tokenizer, skip);
  std::vector<std::string> texts;
  texts.reserve(ids.size() + 1);
  for (const int64_t id : ids) texts.push_back(stream.push(id));
  texts.push_back(stream.finish());
  return texts;
}

// 😀 is F0 9F 98 80; the characters of the tokens represent these bytes and a space (U+0120).
TEST(TextStream, HoldsHalfCharactersBack) {
  const auto tokenizer = tokenizer_with(kByteLevel, {"ð", "Ł", "ĺ", "Ģ", "a", "Ġb", "aðŁ", "ĺĢc"});
  EXPECT_THAT(pieces(*tokenizer, {4, 0, 1, 2, 3, 5}), ElementsAre("a", "", "", "", "😀", " b", ""));
  EXPECT_THAT(pieces(*tokenizer, {6, 7}), ElementsAre("", "a😀c", ""));
  EXPECT_THAT(pieces(*tokenizer, {4, 0, 1, 4}), ElementsAre("a", "", "", "\uFFFDa", ""));
  EXPECT_THAT(pieces(*tokenizer, {4, 0, 1}), ElementsAre("a", "", "", "\uFFFD"));
  EXPECT_THAT(pieces(*tokenizer, {}), ElementsAre(""));
}

// Neither a special token nor an unknown id between two halves parts them.
TEST(TextStream, LooksPastSkippedTokens) {
  const auto tokenizer = tokenizer_with(kByteLevel, {"ðŁ", "ĺĢ", "a"});
  EXPECT_THAT(pieces(*tokenizer, {3, 0, 3, 99, 1, 3, 2}),
              ElementsAre("", "", "", "", "😀", "", "a", ""));
  EXPECT_THAT(pieces(*tokenizer, {3, 0, 3, 1}, false),
              ElementsAre("<s>", "", "\uFFFD<s>", "", "\uFFFD\uFFFD"));
}

// A byte that is not UTF-8 turns the whole run of byte tokens into U+FFFD, so no part of it is certain before its end.
TEST(TextStream, WaitsForTheEndOfARunOfBytes) {
  const auto tokenizer = tokenizer_with(
      llama_decoder(), {"<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0x41>", "<0xFF>", "▁a"});
  EXPECT_THAT(pieces(*tokenizer, {6, 0, 1, 2, 3, 6}), ElementsAre("a", "", "", "", "", "😀 a", ""));
  EXPECT_THAT(pieces(*tokenizer, {4, 7, 5, 6}), ElementsAre("", "", "", "\uFFFD\uFFFD a", ""));
  EXPECT_THAT(pieces(*tokenizer, {4, 7, 5, 6}, false), ElementsAre("", "A<s>", "", "\uFFFD a", ""));
  EXPECT_THAT(pieces(*tokenizer, {6, 4}), ElementsAre("a", "", "A"));
}

TEST(TextStream, KeepsTheSpacesBetweenTokens) {
  const std::vector<std::string> tokens = {"▁a", "▁", "b</w>"};
  const Ids ids = {1, 0, 1, 1, 3, 0, 2, 2};
  EXPECT_THAT(pieces(*tokenizer_with(llama_decoder(), tokens), ids),
              ElementsAre("", " a", " ", " ", "", " a", "b</w>", "b</w>", ""));
  const json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}};
  EXPECT_THAT(pieces(*tokenizer_with(metaspace, tokens), ids),
              ElementsAre("", " a", " ", " ", "", " a", "b</w>", "b</w>", ""));
  EXPECT_THAT(pieces(*tokenizer_with(nullptr, tokens), ids),
              ElementsAre("▁", " ▁a", " ▁", " ▁", "", " ▁a", " b</w>", " b</w>", ""));
  const json words = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
  EXPECT_THAT(pieces(*tokenizer_with(words, tokens), {2, 2, 0}), ElementsAre("b", " b", " ▁a", ""));
}

TEST(TextStream, StartsAnewAfterItsEnd) {
  const auto tokenizer = tokenizer_with(llama_decoder(), {"▁a", "<0x21>"});
  TextStream stream(*tokenizer);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(stream.push(0), "a");
    EXPECT_EQ(stream.push(0), " a");
    EXPECT_EQ(stream.push(1), "");
    EXPECT_EQ(stream.finish(), "!");
  }
}

/// One letter an id; counts how many ids it decodes.
class CountingTokenizer : public Tokenizer {
 public:
  Ids encode(std::string_view /*text*/, bool /*add_special_tokens*/) const override { return {}; }
  std::string decode(const Ids& ids, bool /*skip_special_tokens*/) const override {
    most_ids = std::max(most_ids, ids.size());
    std::string text;
    for (const int64_t id : ids) text.push_back(static_cast<char>('a' + id));
    return text;
  }
  int64_t vocab_size() const override { return 26; }
  mutable size_t most_ids = 0;
};

TEST(TextStream, DecodesOnlyAFewIdsAtATime) {
  const CountingTokenizer tokenizer;
  TextStream stream(tokenizer);
  std::string text;
  for (int64_t i = 0; i < 100; ++i) text += stream.push(i % 26);
  EXPECT_EQ(text.size(), 100U);
  EXPECT_LE(tokenizer.most_ids, 2U);
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace prune::tokenizer
