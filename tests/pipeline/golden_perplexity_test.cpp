#include <prune/core/json_file.h>
#include <prune/pipeline/prune_run.h>

#include <cmath>

#include "support.h"

namespace prune::pipeline {
namespace {

using schedule::ScheduleKind;
using stream::Order;

// tests/golden/pipeline/reference_perplexity.json: Transformers' model and evaluation with
// IST-DASLab/sparsegpt's solver (scripts/golden/reference_perplexity.py). Every test prunes once and is a
// ctest entry of its own. An evaluation takes as long as the pruning, so each model is evaluated in one test.
class ReferencePerplexity : public testing::Test {
 protected:
  PruneOptions options(ScheduleKind schedule, Order order, Quantization quantization = {}) {
    PruneOptions options;
    options.model = {
        .id = "opt-books-6m", .folder = test::fixtures() / "opt-books-6m", .device = "cpu"};
    options.target = quantization.on() ? 0.0 : golden_.at("target").get<double>();
    options.solver.quantization = quantization;
    options.packed = quantization.on();
    options.schedule = schedule;
    options.order = order;
    options.calibration = {
        {.name = "calibration", .path = test::fixtures() / "books.calibration.txt"}};
    options.nsamples = golden_.at("nsamples").get<int64_t>();
    options.seqlen = golden_.at("seqlen").get<int64_t>();
    options.output = folder_.path() / "pruned";
    return options;
  }
  EvaluationChoice evaluation() const {
    return {.text = {{.name = "test", .path = test::fixtures() / "books.test.txt"}},
            .seqlen = golden_.at("seqlen").get<int64_t>(),
            .segments = golden_.at("segments").get<int64_t>()};
  }

  // Prunes without evaluating the dense model, then evaluates the written one.
  report::RunReport run(const PruneOptions& options) {
    report::RunReport report = prune_run(options, {}, alone_, progress_);
    EvaluateOptions written{.model = options.model, .evaluation = evaluation()};
    written.model.folder = options.output;
    report.pruned = evaluate_run(written, alone_, progress_);
    return report;
  }

  void expect_whole(const report::RunReport& report) {
    EXPECT_EQ(report.zeros(), std::llround(0.7 * static_cast<double>(report.weights())));
    EXPECT_TRUE(report.fallbacks.empty());
  }

  const json golden_ = read_json(test::golden() / "pipeline/reference_perplexity.json");
  const json& reference_ = golden_.at("runs").at(0);
  const double uniform_ = reference_.at("uniform").get<double>();
  const test::TemporaryFolder folder_;
  dist::Communicator alone_;
  NoProgress progress_;
};

// How far ours may be from the reference, as a fraction.
constexpr double kSameOrder = 0.005;

TEST_F(ReferencePerplexity, DenseAndUniformEqualTheReference) {
  PruneOptions options = this->options(ScheduleKind::kUniform, Order::kBlock);
  options.evaluation = evaluation();
  const report::RunReport uniform = prune_run(options, {}, alone_, progress_);
  EXPECT_EQ(uniform.calibration.sha256, reference_.at("calibration_sha256").get<std::string>())
      << "the samples are drawn differently";
  // Published values have two digits; ours has to round to the same.
  EXPECT_NEAR(uniform.dense->perplexity, golden_.at("dense").get<double>(), 0.005);
  EXPECT_NEAR(uniform.pruned->perplexity, uniform_, kSameOrder * uniform_);
  expect_whole(uniform);
}

TEST_F(ReferencePerplexity, SequentialOrderIsNearTheReference) {
  const report::RunReport sequential = run(options(ScheduleKind::kUniform, Order::kSequential));
  EXPECT_NEAR(sequential.pruned->perplexity, uniform_, 0.01 * uniform_);
  expect_whole(sequential);
}

TEST_F(ReferencePerplexity, KmeansIsBetterThanUniform) {
  const report::RunReport kmeans = run(options(ScheduleKind::kKmeans, Order::kSequential));
  // Below 98 % of the lowest perplexity that DenseAndUniformEqualTheReference lets uniform have.
  EXPECT_LT(kmeans.pruned->perplexity, 0.98 * (1 - kSameOrder) * uniform_);
  expect_whole(kmeans);
}

// Nothing pruned: OPTQ alone. IST-DASLab/sparsegpt's has one scale and zero point a row.
TEST_F(ReferencePerplexity, FourBitsByRowEqualTheReference) {
  const json golden = read_json(test::golden() / "pipeline/reference_perplexity_w4.json");
  const json& reference = golden.at("runs").at(0);
  const double want = reference.at("uniform").get<double>();
  const report::RunReport rows = run(options(ScheduleKind::kUniform, Order::kBlock,
                                             {.wbits = 4, .group_size = -1, .symmetric = false}));
  EXPECT_EQ(rows.calibration.sha256, reference.at("calibration_sha256").get<std::string>());
  EXPECT_NEAR(rows.pruned->perplexity, want, 0.01 * want);
}

// llm-compressor's GPTQModifier has groups and takes their scales from the dense weights.
TEST_F(ReferencePerplexity, FourBitsByGroupEqualLlmCompressor) {
  const json golden = read_json(test::golden() / "pipeline/llmcompressor_perplexity.json");
  const double want = golden.at("runs").at(0).at("perplexity").get<double>();
  const report::RunReport groups =
      run(options(ScheduleKind::kUniform, Order::kBlock, {.wbits = 4, .group_size = 128}));
  EXPECT_NEAR(groups.pruned->perplexity, want, 0.01 * want);
}

}  // namespace
}  // namespace prune::pipeline
