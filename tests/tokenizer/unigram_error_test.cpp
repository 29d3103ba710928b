#include <prune/core/json_file.h>
#include <prune/tokenizer/tokenizer.h>

#include <limits>

#include "memory_limit.h"
#include "support.h"

namespace prune::tokenizer {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::HasSubstr;

json unigram() {
  return json::parse(R"({"model": {"type": "Unigram", "unk_id": 0,
      "vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -2.0], ["ab", -2.5]]}})");
}

std::unique_ptr<Tokenizer> load(const json& patch) {
  const TemporaryFolder folder;
  json description = unigram();
  description.merge_patch(patch);
  folder.write("tokenizer.json", description.dump());
  return load_tokenizer(folder.path());
}

std::string error_of_model(const json& patch) {
  return error_of(ErrorKind::kInput, [&] { load({{"model", patch}})->encode("abc"); });
}

TEST(Unigram, TakesTheCutWithTheBestScore) {
  // -2.5 beats -1 - 2; unknown characters are joined.
  EXPECT_THAT(load(json::object())->encode("abbaxyb"), testing::ElementsAre(3, 2, 1, 0, 2));
  EXPECT_EQ(load(json::object())->vocab_size(), 4);
}

TEST(UnigramErrors, SayWhatIsWrongInTheModel) {
  EXPECT_THAT(error_of_model({{"unk_id", 4}}), HasSubstr("unk_id 4 is not the id of one of the 4"));
  EXPECT_THAT(error_of_model({{"unk_id", -1}}), HasSubstr("'unk_id' has the wrong type: -1"));
  EXPECT_THAT(error_of_model({{"unk_id", nullptr}}), HasSubstr("the tokenizer names no unk_id"));
  EXPECT_THAT(error_of_model({{"vocab", {{"a", 1}}}}),
              HasSubstr("key 'vocab' is not a JSON array"));
  EXPECT_THAT(error_of_model({{"vocab", {"a", 1}}}), HasSubstr("vocab: \"a\" is not a pair"));
  EXPECT_THAT(error_of_model({{"vocab", json::array({json::array({"a", "b"})})}}),
              HasSubstr("is not a pair"));
  const auto with_token = [](const std::string& token) {
    return error_of_model({{"vocab", json::array({json::array({token, -1.0})})}});
  };
  EXPECT_THAT(with_token(std::string(513, 'x')),
              HasSubstr("a token of 513 bytes is over the limit of 512"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [] {
                         const TemporaryFolder folder;
                         folder.write("tokenizer.json", unigram().dump());
                         folder.write("tokenizer_config.json",
                                      R"({"tokenizer_class": "LlamaTokenizer"})");
                         load_tokenizer(folder.path());
                       }),
              HasSubstr("tokenizer_class of this folder needs a BPE model, not 'Unigram'"));
}

TEST(UnigramErrors, SayThatTheTokensAreTooLongTogether) {
  std::string file = R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0])";
  for (int i = 0; i < 33'000; ++i) file += fmt::format(R"(, ["{:0>509}", -1])", i);
  const TemporaryFolder folder;
  folder.write("tokenizer.json", file + "]}}");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("the tokens have more than 16777216 bytes together"));
}

/// A table with these units of the trie and this text of replacements, in base64.
std::string base64_table(const std::vector<uint32_t>& units, const std::string& replacements,
                         std::optional<uint32_t> trie_bytes = std::nullopt) {
  std::string bytes;
  const auto put = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift));
  };
  put(trie_bytes.value_or(static_cast<uint32_t>(4 * units.size())));
  for (const uint32_t unit : units) put(unit);
  bytes += replacements;
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (int i = 3; i >= 0; --i) text.push_back(kDigits[group >> (6 * i) & 63]);
  }
  for (size_t i = 0; i < (3 - bytes.size() % 3) % 3; ++i) text[text.size() - 1 - i] = '=';
  return text;
}

/// Replaces 'a': the root has offset 0; unit 'a' has a leaf at offset 96, whose value is `begin`.
std::vector<uint32_t> trie_for_a(uint32_t begin) {
  std::vector<uint32_t> units(256, 0);
  units['a'] = 'a' | 1U << 8 | 96U << 10;
  units['a' ^ 96] = begin | 1U << 31;
  return units;
}

std::vector<int64_t> encode_with_table(const std::string& base64, const std::string& text) {
  return load({{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", base64}}}})
      ->encode(text);
}

TEST(Precompiled, ReplacesWhatTheTableNames) {
  const std::string replacements("x\0b\0", 4);
  EXPECT_THAT(encode_with_table(base64_table(trie_for_a(2), replacements), "ab"),
              testing::ElementsAre(2, 2));
  // The last replacement need not be ended; an empty one removes the character.
  EXPECT_THAT(encode_with_table(base64_table(trie_for_a(2),
                                             "x\x01"
                                             "b"),
                                "a"),
              testing::ElementsAre(2));
  EXPECT_THAT(encode_with_table(base64_table(trie_for_a(3), replacements), "ab"),
              testing::ElementsAre(2));
}

TEST(PrecompiledErrors, SayWhereTheTableIsBroken) {
  const auto error = [](const std::string& base64) {
    return error_of(ErrorKind::kInput, [&] { encode_with_table(base64, "a"); });
  };
  EXPECT_THAT(error("AAA"), HasSubstr("base64 of 3 characters is invalid at 3"));
  EXPECT_THAT(error("AA?A"), HasSubstr("base64 of 4 characters is invalid at 2"));
  EXPECT_THAT(error(""), HasSubstr("precompiled_charsmap is too short"));
  EXPECT_THAT(error(base64_table({}, "")), HasSubstr("of 0 bytes has a trie of 0"));
  EXPECT_THAT(error(base64_table({0}, "x", 400)), HasSubstr("of 5 bytes has a trie of 400"));
  EXPECT_THAT(error(base64_table(trie_for_a(0), "\xC3")), HasSubstr("is not UTF-8"));
  EXPECT_THAT(error(base64_table({0}, "x")), HasSubstr("names unit 97 of 1"));
  EXPECT_THAT(error(base64_table(trie_for_a(7), "x")), HasSubstr("a replacement at byte 7 of 1"));
  EXPECT_THAT(error(base64_table(trie_for_a(1), "\xC3\xA9")),
              HasSubstr("a replacement at byte 1 of 2"));
  EXPECT_THAT(error(base64_table(trie_for_a(0), std::string(70'000, 'x'))),
              HasSubstr("normalizer expands a text of 1 bytes to 70000"));
}

TEST(PrecompiledErrors, TakeNoMemoryForATrieThatIsNotThere) {
  if (!test::MemoryLimit::works()) GTEST_SKIP() << "not with this allocator";
  const std::string base64 = base64_table({0}, "x", 0xFFFFFFFC);
  const test::MemoryLimit limit(int64_t{1} << 30);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { encode_with_table(base64, "a"); }),
              HasSubstr("has a trie of 4294967292"));
}

}  // namespace
}  // namespace prune::tokenizer
