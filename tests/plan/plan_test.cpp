#include <prune/core/memory.h>
#include <prune/plan/machine_rates.h>
#include <prune/plan/plan.h>

#include "tiny_run.h"

namespace prune::plan {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Plan tiny_plan() {
  Plan plan{.id = "tiny", .run = test::tiny_run(), .schedule = "uniform 0.5", .device = "cpu"};
  plan.output = "out";
  plan.rates.linear_flops = 1000;
  plan.open_s = 2;
  plan.open_peak_bytes = 1000;
  plan.idle_bytes = 500;
  plan.available_host_bytes = plan.available_disk_bytes = int64_t{1} << 40;
  return plan;
}

TEST(PlannedTime, IsTheSumOfThePhases) {
  const Plan plan = tiny_plan();
  // open; evaluate, estimate and prune by their linear layers alone.
  EXPECT_DOUBLE_EQ(plan.elapsed_s(), 2 + 26.496 + 16.384 + 20.48);
  const nlohmann::json json = to_json(plan);
  EXPECT_DOUBLE_EQ(json.at("elapsed_s").at("estimate"), 16.384);
  EXPECT_EQ(json.at("passes"), nlohmann::json({"evaluate", "estimate", "prune", "evaluate"}));
}

TEST(PlannedMemory, IsThePeakMomentOnTopOfTheProgram) {
  Plan plan = tiny_plan();
  // Every item of the moment that needs most, as cost_model_test.cpp counts them.
  const std::vector<Moment> all = moments(plan.run);
  const double largest = std::ranges::max_element(all, {}, &Moment::host_bytes)->host_bytes();
  EXPECT_EQ(static_cast<double>(plan.peak_host_bytes()), 500 + kHeapSlack + largest);
  plan.open_peak_bytes = 100'000'000;  // a large text can need more than all passes
  EXPECT_EQ(plan.peak_host_bytes(), 100'000'000);
}

TEST(Shortages, NameWhatDoesNotFitAndWhatHelps) {
  Plan plan = tiny_plan();
  EXPECT_THAT(shortages(plan), IsEmpty());
  plan.run.nsamples = 40000;
  plan.available_host_bytes = 1000;
  plan.available_disk_bytes = 10;
  const std::vector<std::string> found = shortages(plan);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[0], HasSubstr("host memory: 34.54 MiB needed"));
  EXPECT_THAT(found[0], HasSubstr("--nsamples"));
  EXPECT_THAT(found[1], HasSubstr("--output on another disk"));
  EXPECT_THAT(plan_table(plan), HasSubstr("does not fit: host memory"));
}

TEST(MeasuredRates, AreThereForAllWorkOfARun) {
  RunShape run = test::tiny_run();
  run.trials = 1;
  run.trial_samples = 2;
  run.solver.solver = solver::Algorithm::kAlps;
  run.solver.refine = 1;
  const Rates rates = measure_rates(run, at::kCPU);
  for (const Phase& phase : phases(run, rates)) {
    for (const Work& work : phase.work) {
      // The disk's rates are measured on their own.
      if (work.what == "writing" || work.what == "records") continue;
      EXPECT_GT(work.per_s, 0.0) << work.what;
      EXPECT_TRUE(std::isfinite(work.elapsed_s())) << work.what;
    }
  }
}

TEST(MeasuredRates, OfTheDiskLeaveNothingBehind) {
  const test::TemporaryFolder folder;
  const DiskRates rates = measure_disk(folder.path());
  EXPECT_GT(rates.stored_bytes, 0.0);
  EXPECT_GT(rates.synced_writes, 0.0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(measure_disk(folder.path() / "absent").stored_bytes, 0.0);
  EXPECT_GT(measure_read_rate(folder.write("file", std::string(4096, 'x'))), 0.0);
  EXPECT_EQ(measure_read_rate(folder.path() / "absent"), 0.0);
}

}  // namespace
}  // namespace prune::plan
