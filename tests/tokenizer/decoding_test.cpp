#include <prune/core/utf8.h>
#include <prune/tokenizer/tokenizer.h>

#include <algorithm>

#include "golden_folder.h"

namespace prune::tokenizer {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

using Ids = std::vector<int64_t>;

/// Pushes ids one by one and checks that what comes out is whole characters.
std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special_tokens) {
  TextStream stream(tokenizer, skip_special_tokens);
  std::string text;
  for (const int64_t id : ids) {
    const std::string piece = stream.push(id);
    EXPECT_EQ(first_invalid_utf8(piece), piece.size());
    EXPECT_FALSE(piece.ends_with("\uFFFD"));
    text += piece;
  }
  return text + stream.finish();
}

void expect_texts(const Tokenizer& tokenizer, const json& one) {
  ASSERT_FALSE(one["ids"].empty());
  for (size_t i = 0; i < one["ids"].size(); ++i) {
    const json& listed = one["ids"][i];
    SCOPED_TRACE(listed.dump());
    const auto ids = listed.get<Ids>();
    EXPECT_EQ(tokenizer.decode(ids, false), one["texts"][i].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids), one["plain"][i].get<std::string>());
    EXPECT_EQ(streamed(tokenizer, ids, false), one["texts"][i].get<std::string>());
    EXPECT_EQ(streamed(tokenizer, ids, true), one["plain"][i].get<std::string>());
  }
}

// Texts of the `tokenizers` package for every decoder (scripts/golden/calibration.py).
class DecoderRule : public testing::TestWithParam<size_t> {};

TEST_P(DecoderRule, GivesTheTextsOfTheTokenizersPackage) {
  const json one = golden_file("decoding.json")["cases"][GetParam()];
  SCOPED_TRACE(one["name"].get<std::string>());
  json description = golden_file((one["base"].get<std::string>() + ".json").c_str());
  description["decoder"] = one["decoder"];
  if (one.contains("added_tokens")) description["added_tokens"] = one["added_tokens"];
  const TemporaryFolder folder;
  folder.write("tokenizer.json", description.dump());
  expect_texts(*load_tokenizer(folder.path()), one);
}
INSTANTIATE_TEST_SUITE_P(Golden, DecoderRule,
                         testing::ValuesIn(indices_of("decoding.json", "cases")));

// Texts of Transformers, whose classes bring decoders of their own.
class DecodedFolder : public testing::TestWithParam<size_t> {};

TEST_P(DecodedFolder, GivesTheTextsOfTransformers) {
  const json one = golden_file("decoding.json")["folders"][GetParam()];
  SCOPED_TRACE(one["name"].get<std::string>());
  const json folders = golden_file("folders.json")["cases"];
  const auto files = std::ranges::find_if(
      folders, [&](const json& other) { return other["name"] == one["name"]; });
  ASSERT_NE(files, folders.end());
  const TemporaryFolder folder;
  lay_all(*files, folder);
  expect_texts(*load_tokenizer(folder.path()), one);
}
INSTANTIATE_TEST_SUITE_P(Golden, DecodedFolder,
                         testing::ValuesIn(indices_of("decoding.json", "folders")));

std::unique_ptr<Tokenizer> tokenizer_with(const json& decoder, const json& vocab) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json",
               json{{"decoder", decoder},
                    {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}}
                   .dump());
  return load_tokenizer(folder.path());
}

json steps(const json& list) { return {{"type", "Sequence"}, {"decoders", list}}; }

TEST(Decoding, SkipsIdsOutsideTheVocabulary) {
  const auto tokenizer = tokenizer_with(nullptr, {{"a", 0}, {"b", 2}});
  EXPECT_EQ(tokenizer->decode({0, 1, -1, 3, int64_t{1} << 32, 2}), "a b");
}

TEST(Decoding, TakesNoMemoryForIdsWithoutTokens) {
  const auto tokenizer = tokenizer_with(nullptr, {{"a", 0}, {"b", 2147483647}});
  EXPECT_EQ(tokenizer->decode({2147483647, 0}), "b a");
}

// decoders.Strip(" ", 1, 1) of the package, which panics at the token that is too short for "stop".
TEST(Decoding, StripsBothSidesOfEachToken) {
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 1}};
  const auto tokenizer =
      tokenizer_with(strip, {{" a  ", 0}, {" b", 1}, {"  ", 2}, {" ", 3}, {"c ", 4}});
  EXPECT_EQ(tokenizer->decode({0, 1, 2, 3, 4}), "a bc");
}

// u8::from_str_radix takes a sign.
TEST(Decoding, ReadsBytesAsRustDoes) {
  const auto tokenizer = tokenizer_with(
      {{"type", "ByteFallback"}},
      {{"<0x+A>", 0}, {"<0x4a>", 1}, {"<0x-1>", 2}, {"<0xZZ>", 3}, {"<0x 1>", 4}, {"<0x041>", 5}});
  EXPECT_EQ(tokenizer->decode({0, 1, 2, 3, 4, 5}), "\nJ<0x-1><0xZZ><0x 1><0x041>");
}

std::string error_of_decoder(const json& decoder) {
  const auto tokenizer = tokenizer_with(decoder, {{"a", 0}, {"b", 1}});
  EXPECT_THAT(tokenizer->encode("ab"), testing::ElementsAre(0, 1));
  return error_of(ErrorKind::kInput, [&] { tokenizer->decode({0, 1}); });
}

TEST(DecoderErrors, WaitForTheFirstTextToDecode) {
  EXPECT_THAT(error_of_decoder({{"type", "CTC"}}),
              HasSubstr("cannot decode: decoder 'CTC' is not supported"));
  EXPECT_THAT(error_of_decoder(steps({{{"type", "Fuse"}}, {{"type", "WordPiece"}}})),
              HasSubstr("'WordPiece'"));
  EXPECT_THAT(error_of_decoder({{"type", "Strip"}, {"content", "ab"}, {"start", 1}, {"stop", 0}}),
              HasSubstr("Strip: content 'ab' is not one character"));
  EXPECT_THAT(error_of_decoder({{"type", "Strip"}, {"content", "a"}, {"start", -1}, {"stop", 0}}),
              HasSubstr("start"));
  EXPECT_THAT(error_of_decoder({{"type", "BPEDecoder"}}), HasSubstr("suffix"));
  EXPECT_THAT(error_of_decoder({{"type", "Metaspace"}, {"replacement", ""}}),
              HasSubstr("replacement '' is not one character"));
  EXPECT_THAT(
      error_of_decoder({{"type", "Replace"}, {"pattern", {{"Regex", "(a"}}}, {"content", "b"}}),
      HasSubstr("'(a': end pattern"));
  EXPECT_THAT(error_of_decoder("Fuse"), HasSubstr("cannot decode"));
  EXPECT_THAT(error_of_decoder(steps(json(65, {{"type", "Fuse"}}))),
              HasSubstr("decoder: more than 64 steps"));
}

TEST(DecoderErrors, RefuseWhatBlowsTextsUp) {
  const json replace = {
      {"type", "Replace"}, {"pattern", {{"Regex", ""}}}, {"content", "0123456789"}};
  EXPECT_THAT(error_of_decoder(steps(json(20, replace))),
              AllOf(HasSubstr("decoder expands"), Not(HasSubstr("normalizer"))));
}

}  // namespace
}  // namespace prune::tokenizer
