#include <prune/calibration/calibration_set.h>

#include <sstream>

#include "golden_ids.h"

namespace prune::calibration {
namespace {

using test::error_of;
using test::fixtures;
using test::golden;
using testing::AllOf;
using testing::HasSubstr;

/// One id per byte, so that lengths can be counted by hand. Its BOS is '^'.
class ByteTokenizer : public tokenizer::Tokenizer {
 public:
  explicit ByteTokenizer(bool adds_bos = false) : adds_bos_(adds_bos) {}
  std::vector<int64_t> encode(std::string_view text, bool add_special_tokens) const override {
    ++calls;
    std::vector<int64_t> ids(text.begin(), text.end());
    if (adds_bos_ && add_special_tokens) ids.insert(ids.begin(), '^');
    return ids;
  }
  std::string decode(const std::vector<int64_t>& ids, bool /*skip_special_tokens*/) const override {
    std::string text;
    for (const int64_t id : ids) text.push_back(static_cast<char>(id));
    return text;
  }
  int64_t vocab_size() const override { return 256; }
  std::optional<int64_t> bos_id() const override { return '^'; }
  int64_t leading_bos() const override { return adds_bos_ ? 1 : 0; }
  mutable int calls = 0;

 private:
  bool adds_bos_;
};

TextSource documents(std::vector<std::string> texts) {
  return {.about = {.name = "texts"}, .documents = std::move(texts), .whole_text = false};
}

TextSource whole(std::string text) {
  return {.about = {.name = "text"}, .documents = {std::move(text)}, .whole_text = true};
}

// Samples drawn in plain Python with `random` by the rules of src/calibration/README.md, "Sampling"
// (scripts/golden/calibration.py).
class GoldenSampling : public testing::Test {
 protected:
  static TextSource lines_of_test_text() {
    std::istringstream stream(read_file(fixtures() / "books.test.txt"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return documents(std::move(lines));
  }
  const json file_ = read_json(golden() / "calibration" / "sampling.json");
  const std::unique_ptr<tokenizer::Tokenizer> tokenizer_ =
      tokenizer::load_tokenizer(fixtures() / "opt-books-6m");
};

CalibrationOptions options_of(const json& one) {
  return {.nsamples = one["nsamples"], .seqlen = one["seqlen"], .seed = one["seed"]};
}

TEST_F(GoldenSampling, DrawsWindowsOfAWholeText) {
  const TextSource text = load_text(fixtures() / "books.calibration.txt");
  const std::vector<int64_t> ids = tokenizer_->encode(text.documents[0]);
  for (const json& one : file_["whole"]) {
    SCOPED_TRACE(one.dump());
    const TokenSet set = sample_calibration(text, *tokenizer_, options_of(one));
    EXPECT_EQ(set.samples(), 16);
    EXPECT_EQ(set.seqlen(), 512);
    EXPECT_EQ(set.source, text.about.name);
    for (int64_t row = 0; row < set.samples(); ++row) {
      const auto start = one["starts"][static_cast<size_t>(row)].get<int64_t>();
      EXPECT_EQ(set.ids[row][0].item<int64_t>(), ids[static_cast<size_t>(start)]) << "row " << row;
    }
    EXPECT_EQ(set.sha256, one["sha256"].get<std::string>());
  }
}

TEST_F(GoldenSampling, DrawsDocumentsThatAreLongEnough) {
  const TextSource text = lines_of_test_text();
  ASSERT_EQ(text.documents.size(), file_["document_count"].get<size_t>());
  for (const json& one : file_["documents"]) {
    SCOPED_TRACE(one.dump());
    const TokenSet set = sample_calibration(text, *tokenizer_, options_of(one));
    EXPECT_EQ(set.sha256, one["sha256"].get<std::string>());
  }
}

TEST_F(GoldenSampling, CutsSegmentsForPerplexity) {
  const TextSource text = load_text(fixtures() / "books.test.txt");
  TextSource lines = lines_of_test_text();
  // As configs/datasets.json has it for c4.
  lines.documents.resize(1100);
  lines.separator = " ";
  lines.segments = 256;
  for (const json& one : file_["segments"]) {
    SCOPED_TRACE(one.dump());
    const TokenSet set =
        evaluation_segments(one["source"] == "whole" ? text : lines, *tokenizer_,
                            {.seqlen = one["seqlen"], .max_segments = one["max_segments"]});
    EXPECT_EQ(set.samples(), one["count"].get<int64_t>());
    EXPECT_EQ(set.sha256, one["sha256"].get<std::string>());
  }
}

TEST_F(GoldenSampling, TheLinesOfATextAsRowsGiveItsSegments) {
  const TextSource text = load_text(fixtures() / "books.test.txt");
  const TokenSet whole = evaluation_segments(text, *tokenizer_, {.seqlen = 64});
  const TokenSet rows = evaluation_segments(lines_of_test_text(), *tokenizer_, {.seqlen = 64});
  EXPECT_EQ(rows.samples(), 3096);
  EXPECT_EQ(rows.sha256, whole.sha256);
  EXPECT_EQ(rows.texts.front().joined_by, "\n");
  EXPECT_EQ(whole.texts.front().joined_by, std::nullopt);
}

TEST(CalibrationSet, HashesTheIdsAsLittleEndianInt64) {
  const TokenSet set = evaluation_segments(whole("abcd"), ByteTokenizer(), {.seqlen = 2});
  EXPECT_EQ(set.sha256, test::sha256_of({'a', 'b', 'c', 'd'}));
  EXPECT_EQ(set.ids.scalar_type(), at::kLong);
}

TEST(CalibrationSet, DropsTheTailOfATextAndSaysHowMuch) {
  const auto segments = [](SegmentOptions options) {
    return evaluation_segments(whole("abcdefg"), ByteTokenizer(), options);
  };
  const TokenSet all = segments({.seqlen = 3});
  EXPECT_EQ(all.samples(), 2);
  EXPECT_EQ(all.texts.front().tokens, 7);
  EXPECT_EQ(all.texts.front().tokens_cut, 1);
  EXPECT_EQ(all.texts.front().samples, 2);
  const TokenSet first = segments({.seqlen = 3, .max_segments = 1});
  EXPECT_EQ(first.samples(), 1);
  EXPECT_EQ(first.texts.front().tokens_cut, 4);
  EXPECT_EQ(segments({.seqlen = 7}).texts.front().tokens_cut, 0);
}

TEST(CalibrationSet, JoinsRowsByALineFeedOrTheSeparator) {
  TextSource rows = documents({"ab", "c"});
  EXPECT_EQ(evaluation_segments(rows, ByteTokenizer(), {.seqlen = 4}).sha256,
            test::sha256_of({'a', 'b', '\n', 'c'}));
  rows.separator = " ";
  const TokenSet set = evaluation_segments(rows, ByteTokenizer(), {.seqlen = 4});
  EXPECT_EQ(set.sha256, test::sha256_of({'a', 'b', ' ', 'c'}));
  EXPECT_EQ(set.texts.front().joined_by, " ");
  // Joined rows are sampled as one text.
  const TokenSet sampled = sample_calibration(rows, ByteTokenizer(), {.nsamples = 1, .seqlen = 3});
  EXPECT_EQ(sampled.sha256, test::sha256_of({'a', 'b', ' '}));
  EXPECT_EQ(sampled.texts.front().joined_by, " ");
  EXPECT_EQ(sampled.texts.front().tokens, 4);
}

TEST(CalibrationSet, ADataSetMayLimitItsSegments) {
  TextSource text = documents({std::string(1000, 'x')});
  const auto count = [&](int64_t most) {
    return evaluation_segments(text, ByteTokenizer(), {.seqlen = 1, .max_segments = most})
        .samples();
  };
  EXPECT_EQ(count(0), 1000);
  text.segments = 256;
  EXPECT_EQ(count(0), 256);
  EXPECT_EQ(count(300), 256);
  EXPECT_EQ(count(3), 3);
}

TEST(CalibrationSet, AddsOneBosOrNone) {
  using tokenizer::AddBos;
  const auto ids = [](const std::string& text, bool adds, AddBos add_bos) {
    const TokenSet set = evaluation_segments(whole(text), ByteTokenizer(adds),
                                             {.seqlen = 3, .max_segments = 1, .add_bos = add_bos});
    std::string start;
    for (int64_t i = 0; i < 3; ++i) start += static_cast<char>(set.ids[0][i].item<int64_t>());
    return start + (set.texts.front().bos ? "+" : "-");
  };
  EXPECT_EQ(ids("abcd", true, AddBos::kAuto), "^ab+");
  EXPECT_EQ(ids("^abcd", true, AddBos::kAuto), "^ab+");
  EXPECT_EQ(ids("abcd", true, AddBos::kOff), "abc-");
  EXPECT_EQ(ids("abcd", false, AddBos::kAuto), "abc-");
  EXPECT_EQ(ids("abcd", false, AddBos::kOn), "^ab+");
  const auto sampled = [](const TextSource& text, AddBos add_bos) {
    const TokenSet set =
        sample_calibration(text, ByteTokenizer(), {.nsamples = 1, .seqlen = 3, .add_bos = add_bos});
    return std::pair(set.ids[0][0].item<int64_t>(), set.texts.front().bos);
  };
  EXPECT_EQ(sampled(documents({"abc"}), AddBos::kOn), std::pair(int64_t{'^'}, true));
  EXPECT_EQ(sampled(documents({"abcd"}), AddBos::kAuto), std::pair(int64_t{'a'}, false));
  EXPECT_EQ(sampled(whole("abc"), AddBos::kOn), std::pair(int64_t{'^'}, true));
}

TEST(CalibrationSet, TakesTheShortestTextThatTheReferenceTakes) {
  // randint(0, len - seqlen - 1) needs one id more than the window.
  const TokenSet set =
      sample_calibration(whole("abc"), ByteTokenizer(), {.nsamples = 3, .seqlen = 2});
  EXPECT_EQ(set.sha256, test::sha256_of({'a', 'b', 'a', 'b', 'a', 'b'}));
}

TEST(CalibrationSet, TokenisesOnlyWhatIsDrawn) {
  const ByteTokenizer tokenizer;
  const TextSource text = documents(std::vector<std::string>(5000, "abcdef"));
  sample_calibration(text, tokenizer, {.nsamples = 8, .seqlen = 4});
  EXPECT_EQ(tokenizer.calls, 8);
}

TEST(CalibrationSet, SaysWhatATextIsTooShortFor) {
  const auto sample = [](const TextSource& text, int64_t seqlen) {
    return error_of(ErrorKind::kInput, [&] {
      sample_calibration(text, ByteTokenizer(), {.nsamples = 2, .seqlen = seqlen});
    });
  };
  EXPECT_THAT(sample(whole("abc"), 3),
              AllOf(HasSubstr("text: has 3 tokens"), HasSubstr("needs 4"), HasSubstr("--seqlen")));
  EXPECT_THAT(sample(documents({"a", "abcd", "ab"}), 4),
              AllOf(HasSubstr("longest of 3 rows has 4 tokens"), HasSubstr("needs 5")));
  EXPECT_THAT(sample(documents({}), 4), HasSubstr("no text"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [] { evaluation_segments(whole("abc"), ByteTokenizer(), {.seqlen = 4}); }),
              AllOf(HasSubstr("has 3 tokens"), HasSubstr("seqlen 4")));
}

TEST(CalibrationSet, CountsDrawnRowsThatAreTooShort) {
  const TokenSet set = sample_calibration(documents({"a", "abcd", "ab"}), ByteTokenizer(),
                                          {.nsamples = 20, .seqlen = 3});
  EXPECT_EQ(set.texts.front().short_rows, 2);
  EXPECT_EQ(set.texts.front().samples, 20);
  EXPECT_EQ(set.texts.front().tokens, std::nullopt) << "not all rows are encoded";
}

TEST(CalibrationSet, RefusesSizesThatAreNotPositive) {
  const auto sample = [](CalibrationOptions options) {
    return error_of(ErrorKind::kUsage,
                    [&] { sample_calibration(whole("abc"), ByteTokenizer(), options); });
  };
  EXPECT_THAT(sample({.nsamples = 0, .seqlen = 1}), HasSubstr("nsamples is 0"));
  EXPECT_THAT(sample({.nsamples = 1, .seqlen = 0}), HasSubstr("seqlen is 0"));
}

}  // namespace
}  // namespace prune::calibration
