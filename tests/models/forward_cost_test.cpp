// Compares ForwardCost, which `prune plan` uses, with the bytes a forward allocates: a forward that
// changes without its ForwardCost fails here.
#include <prune/models/model.h>
#include <prune/stream/hidden_states.h>

#include "allocation_counter.h"
#include "models/random_model.h"

namespace prune::models {
namespace {

struct Case {
  std::string name;
  json config;
  int64_t samples;
  int64_t seqlen;
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

class LiveActivations : public testing::TestWithParam<Case> {};

TEST_P(LiveActivations, AreWhatTheFamilySays) {
  const Case& tested = GetParam();
  const test::RandomModel folder(tested.config);
  const Model model = Model::open(folder.path(), {.device = at::kCPU, .dtype = at::kFloat});
  const auto block = model.load_block(0);
  const Tensor hidden = at::randn({tested.samples, tested.seqlen, model.config().hidden_size});
  const ForwardCost cost = model.family().forward_cost(model.config(), tested.seqlen);

  test::AllocationCounter counter;
  block->forward(hidden);
  const double predicted = 4 * cost.peak(static_cast<double>(tested.samples));
  EXPECT_NEAR(static_cast<double>(counter.peak()) / predicted, 1.0, 0.1)
      << counter.peak() << " bytes were live, " << predicted << " predicted";
}

INSTANTIATE_TEST_SUITE_P(
    Families, LiveActivations,
    testing::Values(Case{"opt", test::opt_config(128, 512, 1), 4, 128},
                    Case{"opt with a narrow feed-forward", test::opt_config(128, 128, 1), 4, 128},
                    Case{"bloom", test::bloom_config(128, 1), 4, 64},
                    Case{"bloom with long samples", test::bloom_config(64, 1), 2, 1024},
                    Case{"llama", test::llama_config(128, 512, 1, 4), 4, 128},
                    Case{"llama with shared keys", test::llama_config(128, 128, 1, 1), 4, 128},
                    Case{"qwen3", test::llama_config(128, 384, 1, 2, "qwen3"), 4, 128}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::ranges::replace_if(
          name, [](char c) { return !std::isalnum(c); }, '_');
      return name;
    });

}  // namespace
}  // namespace prune::models
