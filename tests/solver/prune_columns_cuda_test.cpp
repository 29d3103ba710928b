#include <ATen/Context.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <prune/solver/prune_columns.h>

#include <cmath>

#include "solver/problem.h"
#include "support.h"

// Compares the CUDA twin with the CPU twin, on a device. column_kernels_test.cpp tests the kernels'
// source without one; this adds the launches, CUDA's GEMMs and its solves.
namespace prune::solver {
namespace {

using test::make_problem;
using test::Problem;

struct DeviceCase {
  const char* name;
  int64_t rows;
  int64_t cols;
  SolverOptions options;
};

void PrintTo(const DeviceCase& c, std::ostream* out) { *out << c.name; }

class PruneColumnsCuda : public testing::TestWithParam<DeviceCase> {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device: the CUDA twin was not run";
  }
};

struct Pruned {
  Tensor weight;  // on the CPU
  PruneResult result;
};

Pruned prune_on(at::Device device, const Problem& problem, const SolverOptions& options) {
  hessian::HessianFactor factor = problem.factor;
  factor.v = factor.v.to(device);
  factor.dead = factor.dead.to(device);
  Pruned pruned{problem.weight.clone().to(device), {}};
  pruned.result = prune_columns_(pruned.weight, factor, options);
  pruned.weight = pruned.weight.cpu();
  pruned.result.mask = pruned.result.mask.cpu();
  return pruned;
}

TEST_P(PruneColumnsCuda, AgreesWithTheCpuTwin) {
  const DeviceCase& c = GetParam();
  Problem problem = make_problem({.rows = c.rows, .cols = c.cols});
  if (c.cols > 4) {
    problem.hessian.select(0, c.cols / 2).zero_();
    problem.hessian.select(1, c.cols / 2).zero_();
    Tensor scratch = problem.hessian.clone();
    problem.factor = hessian::factorize_(scratch, 0.01);
    ASSERT_TRUE(problem.factor.dead[c.cols / 2].item<bool>());
  }
  const Pruned cpu = prune_on(at::kCPU, problem, c.options);
  const Pruned cuda = prune_on(at::kCUDA, problem, c.options);

  EXPECT_EQ(cuda.result.zeros, cpu.result.zeros);
  EXPECT_EQ(cuda.result.mask.sum().item<int64_t>(), cpu.result.zeros);
  EXPECT_EQ(cuda.weight.masked_select(cuda.result.mask).count_nonzero().item<int64_t>(), 0);
  EXPECT_TRUE(at::isfinite(cuda.weight).all().item<bool>());
  // GEMMs add in another sequence. Where two scores tie within that rounding, the masks differ, and
  // then the row's later columns do, but not the error:
  // src/solver/README.md, "The form that needs V only".
  const double differing =
      cuda.result.mask.ne(cpu.result.mask).to(at::kDouble).mean().item<double>();
  EXPECT_LE(differing, 2e-3) << "seed 7";
  const double error = reconstruction_error(cpu.weight, problem);
  EXPECT_NEAR(reconstruction_error(cuda.weight, problem), error, 1e-3 * error) << "seed 7";
  EXPECT_NEAR(cuda.result.loss, cpu.result.loss, 1e-3 * cpu.result.loss) << "seed 7";
}

TEST_P(PruneColumnsCuda, GivesTheSameBytesAgainAndOnAnotherStream) {
  const DeviceCase& c = GetParam();
  const Problem problem = make_problem({.rows = c.rows, .cols = c.cols});
  const Pruned first = prune_on(at::kCUDA, problem, c.options);
  const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool());
  const Pruned second = prune_on(at::kCUDA, problem, c.options);
  EXPECT_TRUE(first.weight.equal(second.weight));
  EXPECT_TRUE(first.result.mask.equal(second.result.mask));
  EXPECT_EQ(first.result.loss, second.result.loss);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PruneColumnsCuda,
    testing::Values(DeviceCase{"one_weight", 1, 1, {.sparsity = 1.0}},
                    DeviceCase{"nothing", 64, 256, {.sparsity = 0.0}},
                    DeviceCase{"everything", 64, 256, {.sparsity = 1.0}},
                    DeviceCase{"half", 768, 768, {.sparsity = 0.5}},
                    DeviceCase{"ragged", 333, 700, {.sparsity = 0.7}},
                    DeviceCase{"many_rows", 6001, 384, {.sparsity = 0.5}},
                    DeviceCase{"small_blocks", 100, 500, {.sparsity = 0.6, .blocksize = 32}},
                    DeviceCase{"block_of_panels", 256, 1024, {.sparsity = 0.7, .blocksize = 512}},
                    DeviceCase{"int4_groups",
                               512,
                               768,
                               {.sparsity = 0.5, .quantization = {.wbits = 4, .group_size = 64}}},
                    DeviceCase{
                        "int3_rows_asymmetric",
                        333,
                        512,
                        {.sparsity = 0.7,
                         .quantization = {.wbits = 3, .group_size = -1, .symmetric = false}}},
                    DeviceCase{"n2_of_4", 768, 768, {.prunen = 2, .prunem = 4}},
                    DeviceCase{"n4_of_8_many_rows", 6001, 256, {.prunen = 4, .prunem = 8}},
                    DeviceCase{"n2_of_3", 65, 300, {.prunen = 2, .prunem = 3, .blocksize = 150}},
                    DeviceCase{"n64_of_128", 5000, 256, {.prunen = 64, .prunem = 128}}),
    [](const auto& test_case) { return std::string(test_case.param.name); });

}  // namespace
}  // namespace prune::solver
