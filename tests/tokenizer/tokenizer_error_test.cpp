#include <prune/tokenizer/tokenizer.h>

#include <thread>

#include "golden_ids.h"
#include "memory_limit.h"

namespace prune::tokenizer {
namespace {

using test::error_of;
using test::golden;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

json small_tokenizer() {
  return json::parse(R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": null,
      "post_processor": null, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2},
      "merges": [["a", "b"]]}})");
}

std::string error_of_json(const json& patch) {
  const TemporaryFolder folder;
  json description = small_tokenizer();
  description.merge_patch(patch);
  folder.write("tokenizer.json", description.dump());
  return error_of(ErrorKind::kInput,
                  [&] { load_tokenizer(folder.path())->encode("abc \xE2\x82\xAC"); });
}

TEST(TokenizerErrors, NameTheFolderWithoutFiles) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("tokenizer.json")));
  folder.write("vocab.json", "{}");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("merges.txt"));
}

TEST(TokenizerErrors, NameUnknownComponents) {
  const auto of_type = [](const char* part, const char* type) {
    return error_of_json({{part, {{"type", type}}}});
  };
  EXPECT_THAT(of_type("normalizer", "Other"), HasSubstr("tokenizer.json: normalizer 'Other'"));
  EXPECT_THAT(of_type("pre_tokenizer", "UnicodeScripts"), HasSubstr("'UnicodeScripts'"));
  EXPECT_THAT(of_type("post_processor", "Nonsense"), HasSubstr("post_processor 'Nonsense'"));
  EXPECT_THAT(of_type("model", "WordPiece"), HasSubstr("model 'WordPiece'"));
  EXPECT_THAT(error_of_json(
                  {{"normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Other"}}}}}}}),
              HasSubstr("'Other'"));
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Torn"}};
  EXPECT_THAT(error_of_json({{"pre_tokenizer", split}}), HasSubstr("'Torn'"));
}

TEST(TokenizerErrors, SayWhatIsWrongInAComponent) {
  const json metaspace = {{"type", "Metaspace"}, {"replacement", "_"}};
  const auto changed = [](json component, const json& patch) {
    component.merge_patch(patch);
    return component;
  };
  EXPECT_THAT(error_of_json({{"pre_tokenizer", changed(metaspace, {{"prepend_scheme", "last"}})}}),
              HasSubstr("Metaspace: prepend_scheme 'last' is not supported"));
  for (const char* replacement : {"", "__"}) {
    EXPECT_THAT(
        error_of_json({{"pre_tokenizer", changed(metaspace, {{"replacement", replacement}})}}),
        HasSubstr(fmt::format("Metaspace: replacement '{}' is not one character", replacement)));
  }
  const json pair = {{"Sequence", {{"id", "B"}}}};
  EXPECT_THAT(error_of_json({{"post_processor",
                              {{"type", "TemplateProcessing"}, {"single", json::array({pair})}}}}),
              HasSubstr("TemplateProcessing: 'single' names the sequence 'B'"));
  EXPECT_THAT(error_of_json({{"post_processor",
                              {{"type", "BertProcessing"}, {"cls", {"x"}}, {"sep", {"x", 1}}}}}),
              AllOf(HasSubstr("tokenizer.json: "), HasSubstr("array index 1 is out of range")));
}

TEST(TokenizerErrors, SayWhatIsWrongInTheModel) {
  const auto model = [](const json& patch) { return error_of_json({{"model", patch}}); };
  EXPECT_THAT(model({{"vocab", nullptr}}), HasSubstr("'vocab' is missing"));
  EXPECT_THAT(model({{"merges", nullptr}}), HasSubstr("'merges' is missing"));
  EXPECT_THAT(model({{"vocab", {{"a", -1}}}}), HasSubstr("id of 'a' is -1"));
  EXPECT_THAT(model({{"vocab", {{"a", "x"}}}}), HasSubstr("id of 'a'"));
  EXPECT_THAT(model({{"vocab", {{"a", uint64_t{1} << 40}}}}), HasSubstr("id of 'a'"));
  EXPECT_THAT(model({{"merges", json::array({json::array({"a", "c"})})}}),
              HasSubstr("merge names 'c'"));
  EXPECT_THAT(model({{"merges", json::array({"a b c"})}}), HasSubstr("not a pair"));
  EXPECT_THAT(model({{"unk_token", "<unk>"}}), HasSubstr("unk_token '<unk>'"));
  EXPECT_THAT(error_of_json({{"model", nullptr}}), HasSubstr("'model' is missing"));
}

TEST(TokenizerErrors, SayWhyAPatternIsNoPattern) {
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
  EXPECT_THAT(error_of_json({{"pre_tokenizer", split}}), HasSubstr("'(a': end pattern"));
}

TEST(TokenizerErrors, SayThatAPatternIsTooSlowOrRunsBackwards) {
  const auto encode = [](const std::string& pattern, const std::string& text) {
    const TemporaryFolder folder;
    json description = small_tokenizer();
    description["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
    folder.write("tokenizer.json", description.dump());
    return error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path())->encode(text); });
  };
  EXPECT_THAT(encode("a*a*a*(?<=b)", std::string(1000, 'a')), HasSubstr("retry-limit"));
  EXPECT_THAT(encode("(?<=\\Ka)b|a", "ab"), HasSubstr("matches at byte 0 in a search from 1"));
}

json steps_of(const char* list, const json& step, size_t count) {
  return {{"type", "Sequence"}, {list, json(count, step)}};
}

// A few bytes of tokenizer.json must not make a text a thousand times as long.
TEST(TokenizerErrors, RefuseWhatBlowsTextsUp) {
  const json replace = {
      {"type", "Replace"}, {"pattern", {{"Regex", ""}}}, {"content", "0123456789"}};
  EXPECT_THAT(error_of_json({{"normalizer", steps_of("normalizers", replace, 20)}}),
              HasSubstr("normalizer expands"));
  // Nested sequences do not evade the check.
  const json inner = steps_of("normalizers", replace, 3);
  EXPECT_THAT(error_of_json({{"normalizer", steps_of("normalizers", inner, 7)}}),
              HasSubstr("normalizer expands"));
  EXPECT_THAT(error_of_json({{"normalizer", steps_of("normalizers", {{"type", "NFC"}}, 65)}}),
              HasSubstr("normalizer: more than 64 steps"));
  EXPECT_THAT(
      error_of_json({{"pre_tokenizer", steps_of("pretokenizers", {{"type", "ByteLevel"}}, 2)}}),
      HasSubstr("ByteLevel twice"));
  EXPECT_THAT(
      error_of_json({{"pre_tokenizer", steps_of("pretokenizers", {{"type", "Digits"}}, 65)}}),
      HasSubstr("pre_tokenizer: more than 64 steps"));
  const json text = {{"Sequence", {{"id", "A"}}}};
  EXPECT_THAT(error_of_json(
                  {{"post_processor", {{"type", "TemplateProcessing"}, {"single", {text, text}}}}}),
              HasSubstr("repeats the text"));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    EXPECT_THAT(error_of_json({{"model", {{key, std::string(65, '#')}}}}),
                HasSubstr("has 65 bytes, the limit is 64"));
  }
  EXPECT_THAT(error_of_json({{"added_tokens", {{{"content", std::string(1025, 'x')}}}}}),
              HasSubstr("has 1025 bytes, the limit is 1024"));
}

TEST(TokenizerErrors, RefuseIdsThatAreNoWholeNumbers) {
  for (const json& id : {json(1e300), json(0.5), json(~uint64_t{0}), json("1")}) {
    EXPECT_THAT(error_of_json({{"post_processor",
                                {{"type", "TemplateProcessing"},
                                 {"single", {{{"SpecialToken", {{"id", "x"}}}}}},
                                 {"special_tokens", {{"x", {{"ids", {id}}}}}}}}}),
                HasSubstr("not a token id"));
    EXPECT_THAT(
        error_of_json({{"post_processor",
                        {{"type", "BertProcessing"}, {"cls", {"x", id}}, {"sep", {"x", 1}}}}}),
        HasSubstr("not a token id"));
  }
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("added_tokens.json", R"({"x": 1e300})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("'x' has an id that is not a whole number"));
}

TEST(TokenizerErrors, NameTheLineOfAMerge) {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1})");
  folder.write("merges.txt", "#version: 0.2\na\n");
  folder.write("config.json", R"({"model_type": "opt"})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("merges.txt:2: 'a' is not a pair"));
}

TEST(TokenizerErrors, NameTheClassThatTheTwoFilesDoNotServe) {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1})");
  folder.write("merges.txt", "#version: 0.2\n");
  for (const char* name : {"RobertaTokenizer", "GemmaTokenizer", "PreTrainedTokenizer", ""}) {
    folder.write("tokenizer_config.json", json{{"tokenizer_class", name}}.dump());
    EXPECT_THAT(
        error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
        AllOf(HasSubstr("without tokenizer.json need a tokenizer class: CodeGenTokenizer, "),
              HasSubstr(fmt::format("; tokenizer_class '{}' of this folder", name))));
  }
  // AutoTokenizer of Transformers ignores the class that folders of this model type name.
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  folder.write("config.json", R"({"model_type": "mistral"})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("tokenizer_class 'GPT2Tokenizer' of this folder means TokenizersBackend"));
}

TEST(TokenizerErrors, SayThatThereIsNoMemoryForANormalForm) {
  if (!test::MemoryLimit::works()) GTEST_SKIP() << "not with this allocator";
  const TemporaryFolder folder;
  json description = small_tokenizer();
  description["normalizer"] = {{"type", "NFD"}};
  folder.write("tokenizer.json", description.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  // utf8proc allocates 4 bytes per byte of text; the copies made before that fit the limit.
  const std::string text(size_t{16} << 20, 'a');
  const test::MemoryLimit limit(int64_t{40} << 20);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { tokenizer->encode(text); }),
              HasSubstr("Unicode normalization of 16777216 bytes: Memory for processing"));
}

TEST(TokenizerErrors, AskForTheTokenThatIsToStandInFront) {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1})");
  folder.write("merges.txt", "#version: 0.2\n");
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("bos_token"));
}

TEST(TokenizerErrors, SayWhatASentencePieceModelIsNot) {
  const TemporaryFolder folder;
  const std::string model = read_file(golden() / "calibration" / "sentencepiece.model");
  const auto load = [&](const std::string& content) {
    folder.write("tokenizer.model", content);
    return error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); });
  };
  EXPECT_THAT(load(""),
              HasSubstr("tokenizer.model: is not a SentencePiece model: it has no pieces"));
  EXPECT_THAT(load(model.substr(0, model.size() / 2)), HasSubstr("is invalid at byte"));
  EXPECT_THAT(load("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
              HasSubstr("is invalid at byte"));
  // A group, a field type that protobuf no longer uses.
  EXPECT_THAT(load("\x0B"), HasSubstr("is invalid at byte 1"));
  // One piece of one letter; model types 3 (words) and 1 (unigram).
  const std::string piece =
      "\x0A\x03\x0A\x01"
      "a";
  EXPECT_THAT(load(piece + "\x12\x02\x18\x03"), HasSubstr("model type is neither BPE nor unigram"));
  // The piece's score is not a number.
  EXPECT_THAT(load(std::string("\x0A\x08\x0A\x01"
                               "a\x15\x00\x00\xC0\x7F",
                               10)),
              HasSubstr("the score of 'a' is not finite"));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_THAT(load(piece + "\x12\x02\x18\x01"),
              HasSubstr("model type is not BPE, as LlamaTokenizer needs"));
  EXPECT_THAT(load("\x0A\x84\x04\x0A\x81\x04" + std::string(513, 'a')),
              HasSubstr("a piece of 513 bytes"));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})");
  EXPECT_THAT(load(model), HasSubstr("'T5Tokenizer'"));
}

TEST(TokenizerErrors, SayHowToFetchAFileThatGitLfsReplaced) {
  constexpr const char* kPointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 9085657\n";
  for (const std::vector<const char*>& files :
       {std::vector{"tokenizer.json"}, std::vector{"tokenizer.model"},
        std::vector{"vocab.json", "merges.txt"}, std::vector{"merges.txt", "vocab.json"},
        std::vector{"tokenizer_config.json"}, std::vector{"added_tokens.json"}}) {
    const TemporaryFolder folder;
    for (const char* name : files) folder.write(name, "{}");
    folder.write("config.json", R"({"model_type": "opt"})");
    folder.write(files[0], kPointer);
    EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
                HasSubstr(fmt::format("{}: is a Git LFS pointer, not the file itself; fetch it "
                                      "with 'git lfs pull'",
                                      files[0])));
  }
}

TEST(TokenizerErrors, NameTheBrokenFile) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("tokenizer.json: not valid JSON"));
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_tokenizer(folder.path()); }),
              HasSubstr("tokenizer_config.json"));
}

// Quadratic work would take hours and exceed the test's time limit.
TEST(Tokenizer, LongRunsOfOneCharacterTakeNoQuadraticTime) {
  for (const char* name : {"bloom", "gpt2", "llama2", "llama3", "metaspace", "prefix", "qwen2",
                           "smollm2", "suffix", "unigram", "unigram_bytes"}) {
    const TemporaryFolder folder;
    std::filesystem::copy(golden() / "calibration" / (std::string(name) + ".json"),
                          folder.path() / "tokenizer.json");
    const auto tokenizer = load_tokenizer(folder.path());
    for (const char* character : {"a", " ", "\n", "1", "\xE6\x97\xA5", "\xFF"}) {
      std::string text;
      for (int i = 0; i < 200'000; ++i) text += character;
      EXPECT_NO_THROW(tokenizer->encode(text)) << name << " " << character;
    }
  }
}

TEST(Tokenizer, ManyAddedTokensTakeNoQuadraticTime) {
  const TemporaryFolder folder;
  json description = small_tokenizer();
  for (int i = 0; i < 200'000; ++i) {
    description["added_tokens"].push_back({{"content", fmt::format("<{}>", i)}});
  }
  folder.write("tokenizer.json", description.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->encode("<199999>a<0>"), (std::vector<int64_t>{200'002, 0, 3}));
}

TEST(Tokenizer, ServesSeveralThreads) {
  const TemporaryFolder folder;
  std::filesystem::copy(golden() / "calibration" / "gpt2.json", folder.path() / "tokenizer.json");
  const auto tokenizer = load_tokenizer(folder.path());
  std::string text = "It was the best of times, it was the worst of times; 1234 ";
  text.append(300, 'x');
  const std::vector<int64_t> want = tokenizer->encode(text);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int pass = 0; pass < 50; ++pass) EXPECT_EQ(tokenizer->encode(text), want);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace prune::tokenizer
