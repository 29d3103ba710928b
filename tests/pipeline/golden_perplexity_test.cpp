#include <prune/core/json_file.h>
#include <prune/pipeline/prune_run.h>

#include <cmath>

#include "support.h"

namespace prune::pipeline {
namespace {

class Silent : public Progress {
 public:
  void begin(const std::string&, int64_t) override {}
  void detail(const std::string&) override {}
  void advance() override {}
};

// tests/golden/pipeline/reference_perplexity.json: Transformers' model and evaluation with
// IST-DASLab/sparsegpt's solver (scripts/golden/reference_perplexity.py).
class ReferencePerplexity : public testing::Test {
 protected:
  report::RunReport run(const std::string& schedule) {
    Silent progress;
    PruneOptions options;
    options.model = {
        .id = "opt-books-6m", .folder = test::fixtures() / "opt-books-6m", .device = "cpu"};
    options.target = golden_.at("target").get<double>();
    options.schedule = schedule;
    options.calibration = {.name = "calibration",
                           .path = test::fixtures() / "books.calibration.txt"};
    options.nsamples = golden_.at("nsamples").get<int64_t>();
    options.seqlen = golden_.at("seqlen").get<int64_t>();
    options.evaluation = {.text = {{.name = "test", .path = test::fixtures() / "books.test.txt"}},
                          .seqlen = options.seqlen,
                          .segments = golden_.at("segments").get<int64_t>()};
    options.output = folder_.path() / schedule;
    return prune_run(options, {}, progress);
  }

  const json golden_ = read_json(test::golden() / "pipeline/reference_perplexity.json");
  const test::TemporaryFolder folder_;
};

TEST_F(ReferencePerplexity, UniformEqualsTheReferenceAndKmeansIsBetter) {
  const report::RunReport uniform = run("uniform");
  const json& reference = golden_.at("runs").at(0);
  EXPECT_EQ(uniform.calibration.at("sha256"), reference.at("calibration_sha256"))
      << "the samples are drawn differently";
  // Published values have two digits; ours has to round to the same.
  EXPECT_NEAR(uniform.dense->perplexity, golden_.at("dense").get<double>(), 0.005);
  const double want = reference.at("uniform").get<double>();
  EXPECT_NEAR(uniform.pruned->perplexity, want, 0.005 * want);

  const report::RunReport kmeans = run("kmeans");
  EXPECT_LT(kmeans.pruned->perplexity, 0.98 * uniform.pruned->perplexity);
  for (const report::RunReport& report : {uniform, kmeans}) {
    EXPECT_EQ(report.zeros(), std::llround(0.7 * static_cast<double>(report.weights())));
    EXPECT_TRUE(report.fallbacks.empty());
  }
}

}  // namespace
}  // namespace prune::pipeline
