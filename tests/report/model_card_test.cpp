#include <prune/report/model_card.h>

#include "support.h"

namespace prune::report {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

RunReport report() {
  RunReport report;
  report.model = {.id = "opt-125m", .hub_id = "facebook/opt-125m"};
  report.calibration = {.source = "/home/someone/text.jsonl", .nsamples = 128, .seqlen = 2048};
  report.options = {{"schedule", "file:/home/someone/s.json"}, {"solver", "alps"}, {"wbits", 16}};
  report.layers.push_back({.name = "fc1", .rows = 4, .cols = 10, .zeros = 30});
  report.pruned = evaluation::PerplexityResult{.perplexity = 31.254,
                                               .source = "wikitext2",
                                               .seqlen = 2048,
                                               .segments = 7,
                                               .dtype = "float16"};
  return report;
}

TEST(ModelCard, HasFrontMatterAndNumbers) {
  const std::string card = model_card(report(), "mit");
  EXPECT_THAT(card, StartsWith("---\nbase_model: facebook/opt-125m\nlicense: mit\n"));
  EXPECT_THAT(card, HasSubstr("# facebook/opt-125m, 75.0 % of its linear weights removed"));
  EXPECT_THAT(card, HasSubstr("30 of the 40 weights"));
  EXPECT_THAT(card, HasSubstr("wikitext2 (7 x 2048 tokens, float16)"));
  EXPECT_THAT(card, HasSubstr("| after | 31.25 |"));
  EXPECT_THAT(card, Not(HasSubstr("| before |"))) << "the dense model was not evaluated";
  EXPECT_THAT(card, HasSubstr("128 x 2048 tokens of text.jsonl"));
  EXPECT_THAT(card, HasSubstr("| `--solver` | alps |"));
  EXPECT_THAT(card, Not(HasSubstr("/home/someone")));
}

TEST(ModelCard, NamesTheTextsOfAMixture) {
  RunReport run = report();
  run.calibration.source = "/home/someone/a.jsonl, c4";
  run.calibration.texts = {{.name = "/home/someone/a.jsonl", .samples = 86},
                           {.name = "c4", .samples = 42}};
  const std::string card = model_card(run, "");
  EXPECT_THAT(card, HasSubstr("| calibration | 128 x 2048 tokens of a.jsonl (86), c4 (42) |"));
  EXPECT_THAT(card, Not(HasSubstr("/home/someone")));
}

TEST(ModelCard, OfALocalFolderWithQuantizedWeights) {
  RunReport run = report();
  run.model = {.id = "/home/someone/my-model/"};
  run.options["wbits"] = 4;
  const std::string card = model_card(run, "");
  EXPECT_THAT(card, Not(HasSubstr("base_model:")));
  EXPECT_THAT(card, Not(HasSubstr("license:")));
  EXPECT_THAT(card, HasSubstr("# my-model, 75.0 %"));
  EXPECT_THAT(card, HasSubstr("rounded to 4 bits"));
  EXPECT_THAT(card, HasSubstr("- compressed-tensors\n"));
}

TEST(LicenseOf, ReadsTheFrontMatter) {
  EXPECT_EQ(license_of("---\nlanguage: en\nlicense: apache-2.0\n---\n# x\n"), "apache-2.0");
  EXPECT_EQ(license_of("---\nlicense: \"mit\"\r\n---\n"), "mit");
  EXPECT_EQ(license_of("---\na: b\n---\nlicense: not-this\n"), "");
  EXPECT_EQ(license_of("# license: x\n"), "");
  EXPECT_EQ(license_of(""), "");
}

}  // namespace
}  // namespace prune::report
