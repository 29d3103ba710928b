#include <prune/core/json_file.h>
#include <prune/pipeline/prune_run.h>

#include <cmath>

#include "support.h"

namespace prune::pipeline {
namespace {

// tests/golden/pipeline/reference_perplexity.json: Transformers' model and evaluation with
// IST-DASLab/sparsegpt's solver (scripts/golden/reference_perplexity.py).
class ReferencePerplexity : public testing::Test {
 protected:
  report::RunReport run(const std::string& schedule, Order order, Quantization quantization = {}) {
    NoProgress progress;
    PruneOptions options;
    options.model = {
        .id = "opt-books-6m", .folder = test::fixtures() / "opt-books-6m", .device = "cpu"};
    options.target = quantization.on() ? 0.0 : golden_.at("target").get<double>();
    options.solver.quantization = quantization;
    options.packed = quantization.on();
    options.schedule = schedule;
    options.order = order;
    options.calibration = {.name = "calibration",
                           .path = test::fixtures() / "books.calibration.txt"};
    options.nsamples = golden_.at("nsamples").get<int64_t>();
    options.seqlen = golden_.at("seqlen").get<int64_t>();
    options.evaluation = {.text = {{.name = "test", .path = test::fixtures() / "books.test.txt"}},
                          .seqlen = options.seqlen,
                          .segments = golden_.at("segments").get<int64_t>()};
    options.output = folder_.path() / fmt::format("{}-{}-{}", schedule, static_cast<int>(order),
                                                  quantization.on() ? quantization.group_size : 0);
    dist::Communicator alone;
    return prune_run(options, {}, alone, progress);
  }

  const json golden_ = read_json(test::golden() / "pipeline/reference_perplexity.json");
  const test::TemporaryFolder folder_;
};

TEST_F(ReferencePerplexity, UniformEqualsTheReferenceAndKmeansIsBetter) {
  const report::RunReport uniform = run("uniform", Order::kBlock);
  const json& reference = golden_.at("runs").at(0);
  EXPECT_EQ(uniform.calibration.at("sha256"), reference.at("calibration_sha256"))
      << "the samples are drawn differently";
  // Published values have two digits; ours has to round to the same.
  EXPECT_NEAR(uniform.dense->perplexity, golden_.at("dense").get<double>(), 0.005);
  const double want = reference.at("uniform").get<double>();
  EXPECT_NEAR(uniform.pruned->perplexity, want, 0.005 * want);

  const report::RunReport sequential = run("uniform", Order::kSequential);
  EXPECT_NEAR(sequential.pruned->perplexity, want, 0.01 * want);
  const report::RunReport kmeans = run("kmeans", Order::kSequential);
  EXPECT_LT(kmeans.pruned->perplexity, 0.98 * uniform.pruned->perplexity);
  for (const report::RunReport& report : {uniform, sequential, kmeans}) {
    EXPECT_EQ(report.zeros(), std::llround(0.7 * static_cast<double>(report.weights())));
    EXPECT_TRUE(report.fallbacks.empty());
  }
}

// Nothing pruned: OPTQ alone. IST-DASLab/sparsegpt's has one scale and zero point a row, llm-compressor's
// GPTQModifier groups, whose scales it takes from the dense weights.
TEST_F(ReferencePerplexity, FourBitsEqualTheReferenceAndLlmCompressor) {
  const json reference = read_json(test::golden() / "pipeline/reference_perplexity_w4.json");
  const double by_row = reference.at("runs").at(0).at("uniform").get<double>();
  const report::RunReport rows =
      run("uniform", Order::kBlock, {.wbits = 4, .group_size = -1, .symmetric = false});
  EXPECT_EQ(rows.calibration.at("sha256"), reference.at("runs").at(0).at("calibration_sha256"));
  EXPECT_NEAR(rows.pruned->perplexity, by_row, 0.01 * by_row);

  const json compressor = read_json(test::golden() / "pipeline/llmcompressor_perplexity.json");
  const double by_group = compressor.at("runs").at(0).at("perplexity").get<double>();
  const report::RunReport groups = run("uniform", Order::kBlock, {.wbits = 4, .group_size = 128});
  EXPECT_NEAR(groups.pruned->perplexity, by_group, 0.01 * by_group);
}

}  // namespace
}  // namespace prune::pipeline
