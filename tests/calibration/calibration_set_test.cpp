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

/// One id per byte, so that lengths can be counted by hand.
class ByteTokenizer : public tokenizer::Tokenizer {
 public:
  std::vector<int64_t> encode(std::string_view text, bool) const override {
    ++calls;
    return {text.begin(), text.end()};
  }
  int64_t vocab_size() const override { return 256; }
  mutable int calls = 0;
};

TextSource documents(std::vector<std::string> texts) {
  return {.name = "texts", .documents = std::move(texts), .whole_text = false};
}

TextSource whole(std::string text) {
  return {.name = "text", .documents = {std::move(text)}, .whole_text = true};
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
    EXPECT_EQ(set.source, text.name);
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
  const TextSource lines = lines_of_test_text();
  for (const json& one : file_["segments"]) {
    SCOPED_TRACE(one.dump());
    const TokenSet set = evaluation_segments(one["source"] == "whole" ? text : lines, *tokenizer_,
                                             one["seqlen"], one["max_segments"]);
    EXPECT_EQ(set.samples(), one["count"].get<int64_t>());
    EXPECT_EQ(set.sha256, one["sha256"].get<std::string>());
  }
}

TEST(CalibrationSet, HashesTheIdsAsLittleEndianInt64) {
  const TokenSet set = evaluation_segments(whole("abcd"), ByteTokenizer(), 2);
  EXPECT_EQ(set.sha256, test::sha256_of({'a', 'b', 'c', 'd'}));
  EXPECT_EQ(set.ids.scalar_type(), at::kLong);
}

TEST(CalibrationSet, DropsTheTailOfAText) {
  EXPECT_EQ(evaluation_segments(whole("abcdefg"), ByteTokenizer(), 3).samples(), 2);
  EXPECT_EQ(evaluation_segments(whole("abcdefg"), ByteTokenizer(), 3, 1).samples(), 1);
  EXPECT_EQ(evaluation_segments(whole("abcdefg"), ByteTokenizer(), 7).samples(), 1);
}

TEST(CalibrationSet, JoinsDocumentsByOneSpace) {
  const TokenSet set = evaluation_segments(documents({"ab", "c"}), ByteTokenizer(), 4);
  EXPECT_EQ(set.sha256, test::sha256_of({'a', 'b', ' ', 'c'}));
}

TEST(CalibrationSet, LimitsDocumentsToTheReferencesSegments) {
  const TextSource text = documents({std::string(1000, 'x')});
  EXPECT_EQ(evaluation_segments(text, ByteTokenizer(), 1).samples(), 256);
  EXPECT_EQ(evaluation_segments(text, ByteTokenizer(), 1, 300).samples(), 256);
  EXPECT_EQ(evaluation_segments(text, ByteTokenizer(), 1, 3).samples(), 3);
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
              AllOf(HasSubstr("longest of 3 documents has 4 tokens"), HasSubstr("needs 5")));
  EXPECT_THAT(sample(documents({}), 4), HasSubstr("no text"));
  EXPECT_THAT(
      error_of(ErrorKind::kInput, [] { evaluation_segments(whole("abc"), ByteTokenizer(), 4); }),
      AllOf(HasSubstr("has 3 tokens"), HasSubstr("seqlen 4")));
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
