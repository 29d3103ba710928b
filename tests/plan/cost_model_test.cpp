#include <prune/plan/cost_model.h>

#include "tiny_run.h"

namespace prune::plan {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::Not;

const Phase& phase(const std::vector<Phase>& all, const std::string& name) {
  return *std::ranges::find(all, name, &Phase::name);
}

double amount(const Phase& phase, const std::string& what) {
  return std::ranges::find(phase.work, what, &Work::what)->amount;
}

double size(const Moment& moment, const std::string& what) {
  double bytes = 0.0;
  for (const Moment::Item& item : moment.items) bytes += item.what == what ? item.size_bytes : 0.0;
  return bytes;
}

const Moment& moment(const std::vector<Moment>& all, const std::string& when) {
  return *std::ranges::find(all, when, &Moment::when);
}

// A block's layers: 4 of [8, 8], [16, 8], [8, 16]: 512 weights. A linear of t tokens: 2 t weights FLOPs.
TEST(Phases, CountTheWorkOfEachPass) {
  const RunShape run = test::tiny_run();
  const std::vector<Phase> all = phases(run, {});
  std::vector<std::string> names;
  for (const Phase& one : all) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("evaluate", "estimate", "prune", "write"));

  const double block = 2 * 8 * 512;  // 4 samples of 2 tokens
  EXPECT_EQ(amount(phase(all, "estimate"), "linear layers"), 2 * block);
  // Two blocks without their last layer of 128 weights, and the first one again, pruned.
  EXPECT_EQ(amount(phase(all, "prune"), "linear layers"), 2 * (block - 2 * 8 * 128) + block);
  // Before and after: 6 tokens through two blocks and the head [10, 8].
  EXPECT_EQ(amount(phase(all, "evaluate"), "linear layers"), 2 * (2 * 2 * 6 * 512 + 2 * 6 * 80));
  // 2 s² h for each sample, block and forward.
  EXPECT_EQ(amount(phase(all, "estimate"), "attention"), 4 * 2 * (2 * 4 * 8));
  EXPECT_EQ(amount(phase(all, "prune"), "attention"), 4 * 3 * (2 * 4 * 8));

  // Inputs of 8, 8, 8 and 16 columns; panels are not smaller than these.
  const double hessians = 8 * (3 * 8 * 16 + 16 * 32);
  EXPECT_EQ(amount(phase(all, "estimate"), "Hessians"), 2 * hessians);
  EXPECT_EQ(amount(phase(all, "prune"), "Hessians"), 2 * hessians);
  EXPECT_DOUBLE_EQ(amount(phase(all, "prune"), "factors"), 2 * (3 * 512 + 4096) / 3.0);
  EXPECT_EQ(amount(phase(all, "estimate"), "estimates"), 2 * 512);
  EXPECT_EQ(amount(phase(all, "prune"), "solver"), 2 * (384 * (8 + 550) + 128 * (16 + 550)));

  // Weights 512, biases 56, two norms of 16; tables of 10 and 6 rows, a last norm: stored in 2 bytes.
  EXPECT_EQ(amount(phase(all, "prune"), "loading weights"), 2 * (2 * 600 + 16 * 8));
  // What is pruned is written, recorded thrice a layer, on the way.
  EXPECT_EQ(amount(phase(all, "prune"), "writing"), 2 * (2 * 512));
  EXPECT_EQ(amount(phase(all, "write"), "writing"), 2 * (2 * 88 + 16 * 8 + 16));
  EXPECT_EQ(amount(phase(all, "prune"), "records"), 2 * 6 * 3);
  EXPECT_EQ(amount(phase(all, "estimate"), "records"), 2 * 4);
}

TEST(Phases, OfASequentialRunPassABlockOnce) {
  RunShape run = test::tiny_run();
  run.sequential = true;
  run.estimate_nsamples = 1;
  run.kept.width = 16;
  const double block = 2 * 8 * 512;
  std::vector<Phase> all = phases(run, {});
  EXPECT_EQ(amount(phase(all, "estimate"), "linear layers"), 2 * block / 4);
  // The second block without its last layer of 128 weights.
  EXPECT_EQ(amount(phase(all, "prune"), "linear layers"), 2 * block - 2 * 8 * 128);
  EXPECT_EQ(amount(phase(all, "prune"), "attention"), 4 * 2 * (2 * 4 * 8));

  // fc2's input is not kept: the first block's fc1 of 128 weights runs again.
  run.kept.width = 8;
  all = phases(run, {});
  EXPECT_EQ(amount(phase(all, "prune"), "linear layers"), 2 * block);
}

TEST(Phases, TakeTheWorkOverItsRate) {
  Rates rates;
  rates.linear_flops = 1000;
  rates.stored_bytes = 100;
  const std::vector<Phase> all = phases(test::tiny_run(), rates);
  EXPECT_DOUBLE_EQ(phase(all, "estimate").elapsed_s(), 16.384);
  EXPECT_DOUBLE_EQ(phase(all, "write").elapsed_s(), 6.4);
}

TEST(Phases, CountReadingOnlyAsFarAsItTakesLonger) {
  Rates rates;
  rates.linear_flops = 1000;
  rates.read_bytes = 1000;
  EXPECT_DOUBLE_EQ(phase(phases(test::tiny_run(), rates), "estimate").elapsed_s(), 16.384);
  rates.read_bytes = 1;
  EXPECT_DOUBLE_EQ(phase(phases(test::tiny_run(), rates), "estimate").elapsed_s(), 2656);
}

TEST(Phases, AreOnlyThoseOfTheRun) {
  RunShape run = test::tiny_run();
  run.segments = 0;
  run.estimates = false;
  std::vector<std::string> names;
  for (const Phase& one : phases(run, {})) names.push_back(one.name);
  EXPECT_THAT(names, ElementsAre("prune", "write"));
}

// At fc2 [8, 16]: two squares in float64 and one in float32 of its columns, and those columns.
constexpr double kColumnBlock = 16 * (28 * 16 + 4 * 8);

// fc1 [16, 8] in 4 bits, a scale a row: 16 words of codes, 16 scales of 2 bytes, the shape; and so on.
TEST(Output, OfPackedCodesIsSmaller) {
  RunShape run = test::tiny_run();
  EXPECT_EQ(output_bytes(run), input_bytes(run));
  run.solver.quantization = {.wbits = 4, .group_size = -1};
  run.packed = true;
  const double square = 8 * 4 + 8 * 2 + 16;  // [8, 8]
  const double fc1 = 16 * 4 + 16 * 2 + 16;
  const double fc2 = 8 * 8 + 8 * 2 + 16;
  EXPECT_EQ(output_bytes(run), input_bytes(run) - 2 * (2 * 512) + 2 * (4 * square + fc1 + fc2));
}

TEST(Moments, HoldWhatThePassesHold) {
  const std::vector<Moment> all = moments(test::tiny_run());
  const Moment& forward = moment(all, "prune: forward");
  EXPECT_EQ(size(forward, "hidden states"), 4 * 2 * 8 * 4);
  EXPECT_EQ(size(forward, "weights of a block"), 600 * 4);
  EXPECT_EQ(size(forward, "weights of a block, mapped"), 600 * 2);
  EXPECT_EQ(size(forward, "Hessians"), (3 * 64 + 256) * 4);
  EXPECT_EQ(size(forward, "activations of a batch"), 4 * 2 * (2 * 8 + 2 * 16) * 4);
  EXPECT_EQ(forward.host_bytes(), 256 + 2400 + 1200 + 1792 + 1536);
  EXPECT_EQ(forward.device_bytes(), 0);

  // The largest of its kind. At q all four Hessians are there and one is factored; at fc2 only its own.
  const Moment& factor = moment(all, "prune: factor");
  EXPECT_EQ(size(factor, "Hessians") + size(factor, "factorisation"), 2 * 256 * 4);
  EXPECT_EQ(size(moment(all, "prune: solver"), "solver"), 128 * 13 + kColumnBlock);
  // At fc2 nothing but its factor is left, with the damped Hessian.
  EXPECT_EQ(
      size(moment(all, "prune: solver"), "factor") + size(moment(all, "prune: solver"), "Hessians"),
      2 * 256 * 4);
  EXPECT_EQ(size(moment(all, "evaluate: logits"), "logits"), 2 * 10 * 8);
  EXPECT_EQ(size(moment(all, "evaluate: forward"), "hidden states"), 3 * 2 * 8 * 4);
}

TEST(Moments, OfASequentialRunHoldOneHessianAndTheKeptInputs) {
  RunShape run = test::tiny_run();
  run.sequential = true;
  run.kept.width = 16;
  const Moment forward = moment(moments(run), "prune: forward");
  EXPECT_EQ(size(forward, "Hessians"), 256 * 4);
  EXPECT_EQ(size(forward, "inputs of a block"), 4 * 2 * 16 * 4);
  EXPECT_EQ(size(moment(moments(run), "prune: solver"), "inputs of a block"), 4 * 2 * 16 * 4);
  run.kept.place = stream::StatesPlace::kFile;
  EXPECT_EQ(size(moment(moments(run), "prune: forward"), "inputs of a block"), 0);
}

TEST(Moments, OnCudaAreSplitBetweenDeviceAndHost) {
  RunShape run = test::tiny_run();
  run.on_cuda = true;
  run.dtype = at::kHalf;
  const Moment forward = moment(moments(run), "prune: forward");
  EXPECT_EQ(forward.host_bytes(), 600 * 2);
  // Hidden states, weights and activations in 2 bytes, Hessians in 4, an input in float32.
  EXPECT_EQ(forward.device_bytes(), 128 + 1200 + 768 + 1792 + 4 * 2 * 16 * 4);

  run.states_place = stream::StatesPlace::kHost;
  const Moment in_host = moment(moments(run), "prune: forward");
  EXPECT_EQ(in_host.host_bytes() - forward.host_bytes(), 128);
  run.states_place = stream::StatesPlace::kFile;
  EXPECT_EQ(moment(moments(run), "prune: forward").host_bytes(), forward.host_bytes());
}

TEST(Phases, CountRefiningByItsMostSteps) {
  RunShape run = test::tiny_run();
  const double without = amount(phase(phases(run, {}), "prune"), "elementwise");
  run.solver.refine = 10;
  const Phase prune = phase(phases(run, {}), "prune");
  // Two multiplications and additions for each weight and column, nine tensors of its size.
  EXPECT_EQ(amount(prune, "refine"), 10 * 2 * 2 * (384 * 8 + 128 * 16));
  EXPECT_EQ(amount(prune, "elementwise") - without, 10 * 9 * 4 * 2 * 512);
}

TEST(Phases, CountAlpsByItsUsualSteps) {
  RunShape run = test::tiny_run();
  const double without = amount(phase(phases(run, {}), "prune"), "elementwise");
  run.solver.solver = solver::Algorithm::kAlps;
  const Phase prune = phase(phases(run, {}), "prune");
  // Into the eigenvectors and back.
  EXPECT_EQ(amount(prune, "ALPS"), 55 * 2 * 2 * 2 * (384 * 8 + 128 * 16));
  EXPECT_EQ(amount(prune, "elementwise") - without, 55 * 11 * 4 * 2 * 512);
  // Four layers of a block read 8 columns, one reads 16.
  EXPECT_EQ(amount(prune, "eigenvectors"), 2 * 9 * (5 * 512 + 4096));
}

TEST(Phases, ATrialIsASmallPrunePassAndAnEvaluation) {
  RunShape run = test::tiny_run();
  run.trials = 3;
  run.trial_samples = 2;
  run.solver.solver = solver::Algorithm::kAlps;
  run.solver.refine = 10;
  const Phase score = phase(phases(run, {}), "score");
  RunShape small = test::tiny_run();
  small.nsamples = 2;
  const Phase prune = phase(phases(small, {}), "prune");
  for (const char* what : {"Hessians", "factors", "solver"}) {
    EXPECT_DOUBLE_EQ(amount(score, what), 3 * amount(prune, what)) << what;
  }
  EXPECT_THAT(score.work, Not(Contains(Field(&Work::what, AnyOf("ALPS", "refine", "writing")))));
  small.segments = 2;
  EXPECT_EQ(amount(score, "linear layers"),
            3 * (amount(prune, "linear layers") +
                 amount(phase(phases(small, {}), "evaluate"), "linear layers") / 2));
  EXPECT_THAT(phases(small, {}), Not(Contains(Field(&Phase::name, "score"))));
}

TEST(Moments, OfRefiningAndAlpsHoldMore) {
  RunShape run = test::tiny_run();
  run.solver.refine = 10;
  EXPECT_EQ(size(moment(moments(run), "prune: solver"), "solver"), 128 * 33 + kColumnBlock);
  run.solver.solver = solver::Algorithm::kAlps;
  run.solver.sparsity = 0.5;
  EXPECT_EQ(size(moment(moments(run), "prune: solver"), "solver"),
            128 * 36 + 2 * 256 * 4 + kColumnBlock);
  EXPECT_EQ(size(moment(moments(run), "prune: eigendecomposition"), "solver"),
            128 * 8 + 4 * 256 * 4);
  // Of a pattern, values and indices of half the weights.
  run.solver.prunen = 2;
  run.solver.prunem = 4;
  EXPECT_EQ(size(moment(moments(run), "prune: solver"), "solver"),
            128 * (36 + 6) + 2 * 256 * 4 + kColumnBlock);
}

TEST(Moments, FollowOnlyChosenLayers) {
  RunShape run = test::tiny_run();
  for (auto* layers : {&run.chosen, &run.owned}) {
    for (auto& block : *layers) block = {run.model.linears.front()};
  }
  EXPECT_EQ(size(moment(moments(run), "prune: forward"), "Hessians"), 64 * 4);
  EXPECT_EQ(size(moment(moments(run), "prune: solver"), "solver"), 64 * 13 + 8 * (28 * 8 + 4 * 8));
}

TEST(Split, DealsOutSamplesAndInputs) {
  const RunShape run = test::tiny_run();
  const std::vector<RankShare> shares = split(run, 3);
  ASSERT_EQ(shares.size(), 3U);
  EXPECT_EQ(shares[0].run.nsamples, 2);
  EXPECT_EQ(shares[1].run.nsamples, 1);
  EXPECT_EQ(shares[2].run.nsamples, 1);
  EXPECT_EQ(shares[0].run.segments, 1);
  for (size_t block = 0; block < 2; ++block) {
    std::map<std::string, int64_t> owner;
    for (const RankShare& share : shares) {
      for (const models::LinearSpec& layer : share.run.owned[block]) {
        EXPECT_TRUE(owner.emplace(layer.name, share.rank).second) << layer.name << " twice";
      }
    }
    EXPECT_EQ(owner.size(), 6U);
    EXPECT_EQ(owner["self_attn.q_proj"], owner["self_attn.v_proj"]) << "they share an input";
    EXPECT_NE(owner["fc1"], owner["fc2"]) << "the largest inputs go to different ranks";
  }
  EXPECT_DOUBLE_EQ(shares[0].hessian_flops, 2 * shares[1].hessian_flops);
  EXPECT_GE(shares[0].solver_flops, shares[1].solver_flops);
}

TEST(Split, OfOneRankIsTheWholeRun) {
  const RunShape run = test::tiny_run();
  const std::vector<RankShare> shares = split(run, 1);
  ASSERT_EQ(shares.size(), 1U);
  const std::vector<Phase> whole = phases(run, {});
  const std::vector<Phase> share = phases(shares[0].run, {});
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_EQ(whole[i].work.size(), share[i].work.size());
    for (size_t j = 0; j < whole[i].work.size(); ++j) {
      EXPECT_EQ(whole[i].work[j].amount, share[i].work[j].amount) << whole[i].work[j].what;
    }
  }
  EXPECT_EQ(shares[0].hessian_flops, amount(phase(whole, "estimate"), "Hessians") +
                                         amount(phase(whole, "prune"), "Hessians"));
  EXPECT_EQ(shares[0].forward_flops, amount(phase(whole, "estimate"), "linear layers") +
                                         amount(phase(whole, "estimate"), "attention") +
                                         amount(phase(whole, "prune"), "linear layers") +
                                         amount(phase(whole, "prune"), "attention"));
}

TEST(Exchanged, ArePanelsOfHessiansAndPrunedWeights) {
  const Exchange sent = exchange(test::tiny_run(), 0);
  EXPECT_EQ(sent.hessian_bytes, (3 * 64 + 256) * 4);
  EXPECT_EQ(sent.weight_bytes, 512 * 2);
}

}  // namespace
}  // namespace prune::plan
