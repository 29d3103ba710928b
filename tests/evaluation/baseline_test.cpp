#include <prune/evaluation/baseline.h>

#include "support.h"

namespace prune::evaluation {
namespace {

using test::error_of;
using testing::HasSubstr;

PerplexityResult measured(double perplexity) {
  return {.perplexity = perplexity,
          .source = "text",
          .sha256 = "ab",
          .seqlen = 512,
          .segments = 8,
          .tokens = 4096,
          .dtype = "float32"};
}

TEST(Baseline, PassesUpToTheTolerance) {
  const nlohmann::json baseline = baseline_json(measured(100.0), "some-model", 0.01);
  EXPECT_EQ(baseline.at("tolerance"), 0.01);
  EXPECT_EQ(baseline.at("model"), "some-model");
  EXPECT_THAT(compare_to_baseline(measured(100.9), baseline, 0.01),
              HasSubstr("perplexity 100.9000 is 0.90 % above 100.0000 of 20"));
  EXPECT_THAT(compare_to_baseline(measured(50.0), baseline, 0.0), HasSubstr("50.00 % below"));
  EXPECT_THAT(
      error_of(ErrorKind::kGate, [&] { compare_to_baseline(measured(101.1), baseline, 0.01); }),
      HasSubstr("perplexity 101.1000 is 1.10 % above 100.0000 of 20"));
}

TEST(Baseline, OfAnotherProtocolOrOtherTokensIsNotCompared) {
  const nlohmann::json baseline = baseline_json(measured(100.0), "some-model", 0.01);
  const auto refusal = [&](const std::function<void(PerplexityResult&)>& change) {
    PerplexityResult other = measured(100.0);
    change(other);
    return error_of(ErrorKind::kInput, [&] { compare_to_baseline(other, baseline, 0.01); });
  };
  EXPECT_THAT(refusal([](PerplexityResult& r) { r.seqlen = 256; }),
              HasSubstr("key 'seqlen' is 512 in the baseline, now it is 256: not comparable"));
  EXPECT_THAT(refusal([](PerplexityResult& r) { r.segments = 9; }), HasSubstr("'segments'"));
  EXPECT_THAT(refusal([](PerplexityResult& r) { r.sha256 = "cd"; }), HasSubstr("'sha256'"));
  EXPECT_THAT(refusal([](PerplexityResult& r) { r.dtype = "float16"; }), HasSubstr("'dtype'"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] { compare_to_baseline(measured(1.0), nlohmann::json::object(), 0.0); }),
              HasSubstr("'sha256' is missing"));
}

TEST(Baseline, APublishedValueIsComparedByNameAndLength) {
  const nlohmann::json baseline = {
      {"published", "a paper"}, {"data", "text"}, {"seqlen", 512}, {"perplexity", 100.0}};
  EXPECT_THAT(compare_to_baseline(measured(100.1), baseline, 0.01),
              HasSubstr("0.10 % above 100.0000 of a paper, whose tokens are not known"));
  EXPECT_THAT(
      error_of(ErrorKind::kGate, [&] { compare_to_baseline(measured(102.0), baseline, 0.01); }),
      HasSubstr("2.00 % above"));
  PerplexityResult other = measured(100.0);
  other.source = "another text";
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { compare_to_baseline(other, baseline, 0.01); }),
              HasSubstr("key 'data' is \"text\" in the baseline, now it is \"another text\""));
}

TEST(JunitXml, EscapesWhatXmlWouldRead) {
  EXPECT_THAT(junit_xml("a<b> & \"c\"", 1.5, ""),
              testing::AllOf(HasSubstr("failures=\"0\""), HasSubstr("time=\"1.500\""),
                             HasSubstr("name=\"a&lt;b&gt; &amp; &quot;c&quot;\"")));
  EXPECT_THAT(
      junit_xml("m", 0.0, "1 < 2"),
      testing::AllOf(HasSubstr("failures=\"1\""), HasSubstr("<failure message=\"1 &lt; 2\"/>")));
}

}  // namespace
}  // namespace prune::evaluation
