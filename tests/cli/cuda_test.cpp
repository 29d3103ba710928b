#include <ATen/Context.h>

#include <cmath>

#include "cli/program.h"

// Whole runs on a GPU compared with the same runs on the CPU; the parts have their own tests.
namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct RunCase {
  const char* name;
  std::vector<std::string> flags;
};

void PrintTo(const RunCase& c, std::ostream* out) { *out << c.name; }

class CudaRun : public testing::TestWithParam<RunCase> {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }

  json run(const std::string& device, std::vector<std::string> more) const {
    const fs::path output = folder_.path() / device;
    more.insert(more.end(), {"--device", device, "--overwrite"});
    std::vector<std::string> arguments = {
        "--model",         test::model_folder(),
        "--calibration",   test::calibration_text(),
        "--nsamples",      "16",
        "--seqlen",        "256",
        "--eval",          (test::fixtures() / "books.test.txt").string(),
        "--eval-segments", "16",
        "--output",        output.string(),
        "--strict",        "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const test::Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? test::read_report(output) : json();
  }

  std::string weights(const std::string& device) const {
    return test::bytes(folder_.path() / device / "model.safetensors");
  }

  static double perplexity(const json& report, const char* which) {
    return report.at("evaluation").at(which).get<double>();
  }

  test::TemporaryFolder folder_;
};

TEST_P(CudaRun, GivesThePerplexityOfTheCpu) {
  std::vector<std::string> flags = GetParam().flags;
  flags.insert(flags.end(), {"--dtype", "float32"});
  const json cpu = run("cpu", flags);
  const json cuda = run("cuda", flags);
  ASSERT_FALSE(cpu.is_null() || cuda.is_null());
  // Rounding to the grid makes some more weights zero.
  EXPECT_NEAR(cuda.at("zeros").get<double>() / cpu.at("zeros").get<double>(), 1.0,
              cpu.at("layers").at(0).at("rounded_to_zero").get<int64_t>() > 0 ? 1e-3 : 0.0);
  EXPECT_NEAR(perplexity(cuda, "perplexity_dense") / perplexity(cpu, "perplexity_dense"), 1.0,
              1e-5);
  // Another order of summation decides near-ties in the masks differently.
  EXPECT_NEAR(perplexity(cuda, "perplexity_pruned") / perplexity(cpu, "perplexity_pruned"), 1.0,
              5e-3);
}

// By default a GPU computes in the checkpoint's dtype, here float16.
TEST_P(CudaRun, GivesTheSameBytesAgainInHalfPrecision) {
  const json first = run("cuda", GetParam().flags);
  const std::string bytes = weights("cuda");
  const json second = run("cuda", GetParam().flags);
  ASSERT_FALSE(first.is_null() || second.is_null());
  EXPECT_EQ(weights("cuda"), bytes);
  EXPECT_GT(first.at("peak_memory_bytes").at("device").get<int64_t>(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CudaRun,
    testing::Values(
        RunCase{"uniform", {"--target", "0.7", "--schedule", "uniform"}},
        RunCase{"kmeans", {"--target", "0.7"}},
        // At 0.7 it prunes the first block to 90 %, where 1e-4 of damp changes the perplexity by 1.5 %.
        RunCase{"owl", {"--target", "0.5", "--schedule", "owl"}},
        RunCase{"auto", {"--target", "0.7", "--schedule", "auto"}},
        RunCase{"refine", {"--target", "0.7", "--refine", "20"}},
        RunCase{"alps", {"--target", "0.7", "--solver", "alps", "--refine", "10"}},
        RunCase{"block_order", {"--target", "0.7", "--order", "block"}},
        RunCase{"n2_of_4", {"--pattern", "2:4"}},
        RunCase{"alps_n2_of_4", {"--pattern", "2:4", "--solver", "alps", "--refine", "10"}},
        RunCase{"int4_act_order", {"--target", "0", "--wbits", "4"}},
        RunCase{"int4", {"--target", "0.5", "--wbits", "4", "--group-size", "64"}}),
    [](const auto& test_case) { return std::string(test_case.param.name); });

}  // namespace
}  // namespace prune
