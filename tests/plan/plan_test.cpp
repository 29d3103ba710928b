#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/plan/plan.h>

#include "support.h"

namespace prune::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// An OPT small enough to be priced by hand: h = 8, f = 16, 2 blocks, vocabulary 10; 4 samples of 2 tokens, 3
/// segments. Every layer is pruned.
RunShape tiny_run() {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "opt", "vocab_size": 10, "hidden_size": 8,
    "ffn_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 8,
    "max_position_embeddings": 4, "dtype": "float16"})");
  RunShape run;
  run.model = models::read_model_shape(folder.path());
  run.chosen.assign(2, std::vector<bool>(run.model.linears(0).size(), true));
  run.nsamples = 4;
  run.estimate_nsamples = 4;
  run.seqlen = 2;
  run.batch = 1;
  run.segments = 3;
  return run;
}

/// Round figures: every batch takes 1 s to each site and 1 s from the last one to the end, and so on.
Costs tiny_costs(const RunShape& run) {
  const auto batch = [](double elapsed_s, double peak) {
    return BatchCost{.first = {.elapsed_s = elapsed_s, .peak = {.host = peak}},
                     .next_s = elapsed_s};
  };
  Costs costs;
  costs.blocks[{{.example = 0, .chosen = run.chosen.front()}, 1}] = {
      .load = {.elapsed_s = 0.5, .kept = {.host = 1000}},
      .stages = std::vector<BatchCost>(4, batch(1.0, 100)),
      .finish = batch(1.0, 50),
      .estimate_stages = {batch(6.0, 120)},
      .forward = batch(5.0, 80)};
  for (const int64_t cols : {8, 16}) {
    costs.sites[cols] = {.hessian = {.host = 10},
                         .factorize = {.elapsed_s = 0.1, .kept = {.host = 10}}};
  }
  for (const auto& layer : run.model.linears(0)) {
    costs.layers[{layer.rows, layer.cols}] = {.estimate = {.elapsed_s = 0.01},
                                              .prune = {.elapsed_s = 2.0, .peak = {.host = 500}},
                                              .trial = {.elapsed_s = 0.2}};
  }
  return costs;
}

/// The tiny OPT whose second block has a gated feed-forward of 32 channels: seven layers in place of six.
RunShape run_of_two_kinds() {
  using models::Role;
  RunShape run = tiny_run();
  models::BlockSpec gated = run.model.kinds.front();
  gated.ffn.form = models::FfnForm::kGated;
  gated.ffn.width = 32;
  models::LinearSpec& gate =
      *std::ranges::find(gated.linears, Role::kFc1, &models::LinearSpec::role);
  gate.role = Role::kGate;
  gate.rows = 32;
  gated.linears.back().cols = 32;
  models::LinearSpec up = gate;
  up.name = "up";
  up.role = Role::kUp;
  gated.linears.insert(gated.linears.end() - 1, up);
  run.model.kinds.push_back(std::move(gated));
  run.model.kind_of_block = {0, 1};
  run.model.kind_elements.push_back(run.model.kind_elements.front() + (3 * 32 - 2 * 16) * 8);
  run.chosen.back().push_back(true);
  return run;
}

Phase phase(const Price& price, const std::string& name) {
  return *std::ranges::find(price.phases, name, &Phase::name);
}

const Moment& moment(const Price& price, const std::string& when) {
  return *std::ranges::find(price.moments, when, &Moment::when);
}

TEST(Price, AddsUpTheStepsOfEveryPass) {
  RunShape run = tiny_run();
  const Price priced = price(run, tiny_costs(run));
  std::vector<std::string> names;
  for (const Phase& one : priced.phases) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("evaluate", "estimate", "prune", "write"));
  // Two evaluations of 3 segments in 2 blocks; the embedding and head load at the blocks' rate.
  EXPECT_DOUBLE_EQ(phase(priced, "evaluate").work_s.at("forward and Hessians"), 2 * 2 * 3 * 5.0);
  EXPECT_DOUBLE_EQ(phase(priced, "estimate").work_s.at("forward and Hessians"), 2 * 4 * 6.0);
  EXPECT_DOUBLE_EQ(phase(priced, "estimate").work_s.at("factors"), 2 * 4 * 0.1);
  EXPECT_DOUBLE_EQ(phase(priced, "estimate").work_s.at("estimates"), 2 * 6 * 0.01);
  EXPECT_DOUBLE_EQ(phase(priced, "prune").work_s.at("forward and Hessians"), 2 * 4 * 5.0);
  EXPECT_DOUBLE_EQ(phase(priced, "prune").work_s.at("solver"), 2 * 6 * 2.0);
}

TEST(Price, OfTheBlockOrderForwardsTwice) {
  RunShape run = tiny_run();
  run.order = stream::Order::kBlock;
  Costs costs = tiny_costs(run);
  costs.blocks.begin()->second.stages.resize(1);
  EXPECT_DOUBLE_EQ(phase(price(run, costs), "prune").work_s.at("forward and Hessians"),
                   2 * 4 * (1.0 + 5.0));
}

TEST(Price, CountsReadingOnlyAsFarAsItTakesLonger) {
  RunShape run = tiny_run();
  Costs costs = tiny_costs(run);
  costs.read_bytes = 1e9;
  const double work_s = phase(price(run, costs), "prune").elapsed_s();
  costs.read_bytes = 1.0;
  EXPECT_GT(phase(price(run, costs), "prune").elapsed_s(), work_s);
}

TEST(Price, OfRanksWaitsForTheBusiest) {
  RunShape run = tiny_run();
  const double alone_s = phase(price(run, tiny_costs(run)), "prune").elapsed_s();
  run.world_size = 2;
  const Phase sequential = phase(price(run, tiny_costs(run)), "prune");
  EXPECT_DOUBLE_EQ(sequential.work_s.at("forward and Hessians"), 2 * 2 * 5.0);
  // One rank solves at a time: all solves are waited for.
  EXPECT_DOUBLE_EQ(sequential.work_s.at("solver") + sequential.work_s.at("factors") +
                       sequential.work_s.at("waiting for other ranks"),
                   2 * (6 * 2.0 + 4 * 0.1));
  EXPECT_LT(sequential.elapsed_s(), alone_s);
  run.order = stream::Order::kBlock;
  Costs costs = tiny_costs(run);
  costs.blocks.begin()->second.stages.resize(1);
  const Phase divided = phase(price(run, costs), "prune");
  EXPECT_LT(divided.work_s.at("solver") + divided.work_s.at("waiting for other ranks"),
            2 * 6 * 2.0);
}

TEST(Price, OfTrialsGoesRoundByRound) {
  RunShape run = tiny_run();
  run.trials = 4;
  run.trial_samples = 2;
  const Phase four = phase(price(run, tiny_costs(run)), "score");
  // 2 samples pruned and 2 measured, in 2 blocks.
  EXPECT_DOUBLE_EQ(four.work_s.at("forward and Hessians"), 4 * 2 * (2 * 5.0 + 2 * 5.0));
  EXPECT_DOUBLE_EQ(four.work_s.at("solver"), 4 * 2 * 6 * 0.2);
  run.world_size = 3;
  const Phase two_rounds = phase(price(run, tiny_costs(run)), "score");
  EXPECT_DOUBLE_EQ(two_rounds.work_s.at("solver"), 2 * 2 * 6 * 0.2);
}

TEST(Price, OfBlocksThatDifferTakesEachKindAtItsOwnCosts) {
  const RunShape run = run_of_two_kinds();
  Costs costs = tiny_costs(run);
  BlockCosts second = costs.blocks.begin()->second;
  second.load.kept.host = 4000;
  for (BatchCost& stage : second.stages) stage.next_s = 2.0;
  costs.blocks[{{.example = 1, .chosen = run.chosen.back()}, 1}] = second;
  costs.sites[32] = {.hessian = {.host = 40}, .factorize = {.elapsed_s = 0.4}};
  costs.layers[{32, 8}] = {.prune = {.elapsed_s = 3.0}};
  costs.layers[{8, 32}] = {.prune = {.elapsed_s = 5.0}};
  const Price priced = price(run, costs);
  const Phase prune = phase(priced, "prune");
  EXPECT_DOUBLE_EQ(prune.work_s.at("solver"), 6 * 2.0 + 4 * 2.0 + 2 * 3.0 + 5.0);
  EXPECT_DOUBLE_EQ(prune.work_s.at("factors"), (4 + 3) * 0.1 + 0.4);
  EXPECT_DOUBLE_EQ(prune.work_s.at("forward and Hessians"), 4 * 5.0 + 4 * (1 + 3 * 2.0) + 4);
  const auto size = [&](const std::string& what) {
    return std::ranges::find(moment(priced, "prune: solver").items, what, &Moment::Item::what)
        ->size.host;
  };
  EXPECT_EQ(size("weights of a block"), 4000) << "the larger block counts";
  EXPECT_EQ(size("kept activations"), 4 * 2 * 32 * 4) << "there is room for the wider one";
  EXPECT_EQ(exchange(run).hessian_bytes, (6 * 64 + 256 + 1024) * 4 / 2);
  EXPECT_EQ(exchange(run).weight_bytes, (512 + 256 + 3 * 256) * 2 / 2);
}

// GPT-2's blocks can scale their scores each in its own way.
TEST(Price, OfBlocksThatDifferInTheirScaleIsMeasuredOnce) {
  RunShape run = tiny_run();
  run.model.kinds.push_back(run.model.kinds.front());
  run.model.kinds.back().attention.scale *= 0.5;
  run.model.kind_of_block = {0, 1};
  EXPECT_EQ(run.kinds_of_block().size(), 1U);
  run.chosen.back().front() = false;
  EXPECT_EQ(run.kinds_of_block().size(), 2U);
}

TEST(Moments, HoldWhatThePassHolds) {
  RunShape run = tiny_run();
  const Price priced = price(run, tiny_costs(run));
  const Moment& solver = moment(priced, "prune: solver");
  const auto size = [&](const std::string& what) {
    const auto found = std::ranges::find(solver.items, what, &Moment::Item::what);
    return found == solver.items.end() ? 0.0 : found->size.host;
  };
  EXPECT_EQ(size("hidden states"), 4 * 2 * 8 * 4);
  EXPECT_EQ(size("kept activations"), 4 * 2 * 16 * 4);
  EXPECT_EQ(size("weights of a block"), 1000);
  EXPECT_EQ(size("Hessians"), 10) << "one site at a time";
  EXPECT_EQ(size("factor"), 10);
  EXPECT_EQ(size("solver"), 500);
  EXPECT_EQ(size("layer being written"), 8 * 16 * 2);
}

TEST(RankShares, DealOutSamplesAndLayers) {
  RunShape run = tiny_run();
  run.world_size = 3;
  const std::vector<RankShare> shares = rank_shares(run);
  ASSERT_EQ(shares.size(), 3U);
  EXPECT_EQ(shares[0].nsamples, 2);
  EXPECT_EQ(shares[1].nsamples, 1);
  EXPECT_EQ(shares[0].segments, 1);
  EXPECT_EQ(shares[0].solved_layers + shares[1].solved_layers + shares[2].solved_layers, 12);
  EXPECT_DOUBLE_EQ(shares[0].hessian_flops, 2 * shares[1].hessian_flops);
  // Four sites of 8, 8, 8 and 16 columns, all within one panel.
  EXPECT_EQ(exchange(run).hessian_bytes, (3 * 64 + 256) * 4);
  EXPECT_EQ(exchange(run).weight_bytes, 512 * 2);
}

// fc1 [16, 8] in 4 bits, a scale a row: 16 words of codes, 16 scales of 2 bytes, the shape; and so on.
TEST(Output, OfPackedCodesIsSmaller) {
  RunShape run = tiny_run();
  EXPECT_EQ(output_bytes(run), input_bytes(run));
  run.solver.quantization = {.wbits = 4, .group_size = -1};
  run.packed = true;
  const int64_t square = 8 * 4 + 8 * 2 + 16;  // [8, 8]
  const int64_t fc1 = 16 * 4 + 16 * 2 + 16;
  const int64_t fc2 = 8 * 8 + 8 * 2 + 16;
  EXPECT_EQ(output_bytes(run), input_bytes(run) - 2 * (2 * 512) + 2 * (4 * square + fc1 + fc2));
}

// Of eight ranks each holds an eighth of the samples: what decides about the place of the hidden states.
TEST(HiddenStates, AreThoseOfOneRank) {
  RunShape run = tiny_run();
  run.nsamples = 16;
  run.world_size = 8;
  EXPECT_EQ(states_bytes(run), 2 * 2 * 8 * 4);
}

Plan tiny_plan() {
  Plan plan{.id = "tiny", .run = tiny_run(), .schedule = "uniform 0.5", .device = "cpu"};
  plan.price = price(plan.run, tiny_costs(plan.run));
  plan.output = "out";
  plan.open_s = 2;
  plan.idle_bytes = 500;
  plan.open_peak_bytes = 600;
  plan.available_host_bytes = plan.available_disk_bytes = int64_t{1} << 40;
  return plan;
}

TEST(Planned, TimeIsTheSumOfThePhases) {
  const Plan plan = tiny_plan();
  double sum_s = 2;
  for (const Phase& one : plan.price.phases) sum_s += one.elapsed_s();
  EXPECT_DOUBLE_EQ(plan.elapsed_s(), sum_s);
  EXPECT_EQ(to_json(plan).at("passes"), json({"evaluate", "estimate", "prune", "evaluate"}));
}

TEST(Planned, MemoryIsThePeakMomentOnTopOfTheProgram) {
  Plan plan = tiny_plan();
  double largest = 0.0;
  for (const Moment& one : plan.price.moments) largest = std::max(largest, one.total().host);
  EXPECT_EQ(static_cast<double>(plan.peak_host_bytes()), 500 + kHeapSlack + largest);
  plan.open_peak_bytes = 100'000'000;  // reading a large text can need more than all passes
  EXPECT_EQ(plan.peak_host_bytes(), 100'000'000);
}

TEST(Shortages, NameWhatDoesNotFitAndWhatHelps) {
  Plan plan = tiny_plan();
  EXPECT_THAT(shortages(plan), IsEmpty());
  plan.run.nsamples = 40000;
  plan.price = price(plan.run, tiny_costs(plan.run));
  plan.available_host_bytes = 1000;
  plan.available_disk_bytes = 10;
  const std::vector<std::string> found = shortages(plan);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[0], HasSubstr("host memory: "));
  EXPECT_THAT(found[0], HasSubstr("--nsamples"));
  EXPECT_THAT(found[1], HasSubstr("--output on another disk"));
  EXPECT_THAT(plan_table(plan), HasSubstr("does not fit: host memory"));
}

TEST(Fits, ExtrapolateInRowsAndWidth) {
  const auto cost = [](double elapsed_s, double bytes) {
    return Cost{.elapsed_s = elapsed_s, .peak = {.host = bytes}, .kept = {}};
  };
  const Cost rows = linear_fit(cost(1.5, 30), 1, cost(2.0, 40), 2, 10);
  EXPECT_DOUBLE_EQ(rows.elapsed_s, 6.0);
  EXPECT_DOUBLE_EQ(rows.peak.host, 120.0);
  // Time by the cube, memory by the square.
  const Cost wide = power_fit(cost(1.0, 10), cost(8.0, 40), 2.0, 3.0);
  EXPECT_DOUBLE_EQ(wide.elapsed_s, 64.0);
  EXPECT_DOUBLE_EQ(wide.peak.host, 160.0);
  // Noise cannot show a power that the function cannot have.
  EXPECT_DOUBLE_EQ(power_fit(cost(1.0, 10), cost(16.0, 160), 2.0, 2.0).elapsed_s, 64.0);
  EXPECT_DOUBLE_EQ(power_fit(cost(1.0, 10), cost(16.0, 160), 2.0, 2.0).peak.host, 640.0);
}

TEST(Probe, CountsWhatACallHoldsAndKeeps) {
  Probe probe(at::kCPU);
  Tensor kept;
  const Cost cost = probe.measure([&] {
    const Tensor passing = at::empty({3 << 20}, at::kByte);
    kept = at::empty({1 << 20}, at::kByte);
  });
  EXPECT_EQ(cost.kept.host, 1 << 20);
  EXPECT_EQ(cost.peak.host, 4 << 20);
  EXPECT_GT(cost.elapsed_s, 0.0);
}

TEST(Measured, CostsAreThereForEveryStepOfARun) {
  const test::TemporaryFolder folder;
  RunShape run = run_of_two_kinds();
  run.trials = 1;
  run.trial_samples = 2;
  run.solver.solver = solver::Algorithm::kAlps;
  run.solver.refine = 1;
  const Price priced = price(run, measure_costs(run, folder.path()));
  for (const Phase& one : priced.phases) {
    for (const auto& [what, elapsed_s] : one.work_s) {
      EXPECT_TRUE(std::isfinite(elapsed_s)) << one.name << " " << what;
      // The disk is measured on its own.
      if (what != "records" && what != "writing")
        EXPECT_GT(elapsed_s, 0.0) << one.name << " " << what;
    }
  }
}

TEST(Measured, DiskIsLeftAsItWas) {
  const test::TemporaryFolder folder;
  const DiskCosts costs = measure_disk(folder.path());
  EXPECT_GT(costs.stored_bytes, 0.0);
  EXPECT_GT(costs.record_s, 0.0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(measure_disk(folder.path() / "absent").stored_bytes, 0.0);
  EXPECT_GT(measure_read_rate(folder.write("file", std::string(4096, 'x'))), 0.0);
  EXPECT_EQ(measure_read_rate(folder.path() / "absent"), 0.0);
}

}  // namespace
}  // namespace prune::plan
