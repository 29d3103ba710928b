// Compares the plan's memory with what a run's passes allocate. A pass that holds something that the plan does not
// know of fails here.
#include <prune/core/allocation_counter.h>
#include <prune/pipeline/plan_run.h>

#include <map>

#include "models/random_model.h"

namespace prune::pipeline {
namespace {

// Notes the peak of each pass as the run announces them.
class PeakOfPasses : public Progress {
 public:
  void begin(const std::string& phase, int64_t) override {
    note();
    pass_ = phase.substr(0, phase.find(' '));
  }
  void detail(const std::string&) override {}
  void advance() override {}
  void note() {
    peaks_[pass_] = std::max(peaks_[pass_], counter_.peak());
    counter_.restart_peak();
  }
  double peak(const std::string& pass) const { return static_cast<double>(peaks_.at(pass)); }

 private:
  AllocationCounter counter_;
  std::string pass_ = "open";
  std::map<std::string, int64_t> peaks_;
};

struct Case {
  std::string name;
  json config;
  int64_t nsamples;
  int64_t seqlen;
  solver::SolverOptions solver = {};
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

class PlannedMemory : public testing::TestWithParam<Case> {};

TEST_P(PlannedMemory, IsWhatEachPassAllocates) {
  const Case& tested = GetParam();
  const test::RandomModel model(tested.config);
  std::filesystem::copy(test::fixtures() / "opt-books-6m/tokenizer.json", model.path());
  const test::TemporaryFolder folder;
  PruneOptions options;
  options.model = {.id = "random", .folder = model.path(), .device = "cpu"};
  options.calibration = {{.name = "books", .path = test::fixtures() / "books.calibration.txt"}};
  options.nsamples = tested.nsamples;
  options.seqlen = tested.seqlen;
  options.solver = tested.solver;
  options.evaluation = {
      .text = calibration::TextFile{.name = "books", .path = test::fixtures() / "books.test.txt"},
      .seqlen = tested.seqlen,
      .segments = 8};
  options.output = folder.path() / "out";
  const plan::Plan plan = plan_run(options);

  PeakOfPasses progress;
  dist::Communicator alone;
  prune_run(options, {}, alone, progress);
  progress.note();
  for (const std::string pass : {"evaluate", "estimate", "prune"}) {
    double predicted = 0.0;
    for (const plan::Moment& moment : plan.price.moments) {
      if (!moment.when.starts_with(pass)) continue;
      double allocated = 0.0;
      for (const plan::Moment::Item& item : moment.items) {
        if (!item.what.ends_with("mapped")) allocated += item.size.host;
      }
      predicted = std::max(predicted, allocated);
    }
    EXPECT_NEAR(progress.peak(pass) / predicted, 1.0, 0.1)
        << pass << ": " << progress.peak(pass) << " bytes, " << predicted << " predicted\n"
        << json_text(plan::to_json(plan).at("memory"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, PlannedMemory,
    // Few tokens: factors and solver are the peak; many: activations and hidden states.
    testing::Values(Case{"opt_few_tokens", test::opt_config(128, 512, 2), 2, 32},
                    Case{"opt_many_tokens", test::opt_config(128, 512, 2), 24, 256},
                    Case{"opt_refined", test::opt_config(128, 512, 2), 2, 32, {.refine = 3}},
                    Case{"opt_by_alps",
                         test::opt_config(128, 512, 2),
                         2,
                         32,
                         {.solver = solver::Algorithm::kAlps}},
                    // Refining takes the rows of a wide layer part by part.
                    Case{"opt_refined_wide", test::opt_config(256, 8192, 1), 2, 32, {.refine = 3}},
                    Case{"bloom_many_tokens", test::bloom_config(128, 2), 24, 128},
                    Case{"llama_few_tokens", test::llama_config(128, 384, 2, 2), 2, 32},
                    Case{"llama_many_tokens", test::llama_config(128, 384, 2, 2), 24, 256}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace prune::pipeline
