#include <fcntl.h>
#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/progress.h>
#include <prune/core/sha256.h>
#include <prune/core/stopwatch.h>
#include <prune/dist/site_hessians.h>
#include <prune/evaluation/perplexity.h>
#include <prune/hessian/accumulator.h>
#include <prune/hessian/factorize.h>
#include <prune/kernels/kept.h>
#include <prune/kernels/product.h>
#include <prune/loss/estimate.h>
#include <prune/models/block_sites.h>
#include <prune/plan/measure.h>
#include <prune/recovery/gradients.h>
#include <prune/recovery/kept_layer.h>
#include <prune/recovery/student.h>
#include <prune/solver/prune_weight.h>
#include <prune/stream/estimate_stream.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

namespace prune::plan {
namespace {

using models::LinearSpec;

// A block with more weights than this is measured at a smaller width.
constexpr int64_t kMostWeightsCpu = int64_t{8} << 20;
constexpr int64_t kMostWeightsCuda = int64_t{256} << 20;
// Columns of a layer that are measured; more are extrapolated.
constexpr int64_t kMostColumnsCpu = 2048;
constexpr int64_t kMostColumnsCuda = 8192;
// Rows are doubled until a call takes this long.
constexpr double kLongEnoughS = 0.2;
constexpr int64_t kFewestRows = 128;
constexpr int64_t kAspectColumns = 512;
constexpr int64_t kManyWeights = int64_t{2} << 20;
// Work of a segment's logits, in multiplications and additions; a larger vocabulary is measured in part.
constexpr double kMostHeadWorkCpu = 1e10;
constexpr double kMostHeadWorkCuda = 1e12;
// Powers of the width that a time can grow by.
constexpr double kProducts = 2.0;  // of a fixed number of tokens
constexpr double kFactors = 3.0;
constexpr int kRepeats = 3;
// A few batches leave experts with fewer tokens than a run would.
constexpr auto kTokens = stream::ExpertTokens::kRouted;
constexpr int64_t kBatches = 4;  // measured beside one batch
constexpr size_t kDiskBytes = size_t{16} << 20;
constexpr size_t kHashedBytes = size_t{8} << 20;
constexpr int kRecords = 5;

/// Draws random hidden states; what an embedding costs is little.
class RandomEmbedding : public models::Embedding {
 public:
  RandomEmbedding(int64_t hidden_size, const at::TensorOptions& options)
      : table_(at::randn({64, hidden_size}, options)) {}
  Tensor embed(const Tensor& ids, int64_t /*first*/) const override {
    return at::embedding(table_, ids.to(table_.device()).remainder(table_.size(0)));
  }

 private:
  Tensor table_;
};

class RandomHead : public models::Head {
 public:
  RandomHead(int64_t vocabulary, int64_t hidden_size, const at::TensorOptions& options)
      : matrix_{
            .name = "head", .weight = at::randn({vocabulary, hidden_size}, options), .bias = {}} {}
  Tensor logits(const Tensor& hidden) const override { return matrix_(hidden); }
  int64_t vocab_size() const override { return matrix_.weight.size(0); }
  const models::Linear& matrix() const override { return matrix_; }

 private:
  models::Linear matrix_;
};

/// One walk through a block with a given number of batches.
struct BlockWalk {
  Cost load;
  std::vector<Cost> stages;
  Cost finish;
  std::vector<Cost> estimate_stages;
  Cost forward;
};

class Measurement {
 public:
  Measurement(const RunShape& run, const std::filesystem::path& scratch)
      : run_(run),
        scratch_(scratch),
        options_(at::dtype(run.dtype).device(run.device)),
        probe_(run.device) {}

  BlockCosts block(const BlockKind& kind, int64_t batch) {
    batch_ = batch;
    const auto [model, few] = with_few_experts(kind);
    BlockCosts costs = block_at_full_width(model, few);
    const int64_t experts = run_.model.block(kind.example).experts();
    const int64_t measured = model.block(kind.example).experts();
    if (experts > measured) {
      const auto share = static_cast<double>(measured) / static_cast<double>(experts);
      repeat_experts(costs.stages, outside_experts(model, few, run_.order), share);
      repeat_experts(costs.estimate_stages, outside_experts(model, few, stream::Order::kBlock),
                     share);
    }
    return costs;
  }

  SiteCosts site(int64_t cols) {
    const int64_t most = most_columns();
    if (cols <= most) return site_of(cols);
    const SiteCosts half = site_of(most / 2);
    const SiteCosts one = site_of(most);
    const double ratio = static_cast<double>(cols) / static_cast<double>(most);
    return {
        .hessian = power_fit({.kept = half.hessian}, {.kept = one.hessian}, ratio, kFactors).kept,
        .factorize = power_fit(half.factorize, one.factorize, ratio, kFactors)};
  }

  LayerCosts layer(int64_t rows, int64_t cols) {
    LayerCosts costs = extrapolated_layer(rows, cols);
    if (run_.solver.solver == solver::Algorithm::kAlps && rows * cols > 2 * kManyWeights) {
      costs.prune.peak = peak_by_aspect(rows, cols);
    }
    return costs;
  }

  Cost embedding() {
    const RandomEmbedding embedding(run_.model.config.stream_size(), options_);
    const Tensor ids = at::arange(run_.seqlen).expand({batch_, run_.seqlen}).contiguous();
    std::optional<stream::HiddenStates> hidden;
    Cost cost = repeated([&] {
      hidden.reset();
      hidden.emplace(embed(embedding, ids));
    });
    cost.elapsed_s /= static_cast<double>(batch_);
    return cost;
  }

  RecoveryCosts recovery(const BlockKind& kind) {
    const auto& [shape, divisor] = measurable(run_.model, kind);
    RecoveryCosts costs = recovery_of(shape, kind);
    // Products of a fixed number of tokens: with the square of the width, as the states.
    const auto ratio = static_cast<double>(divisor * divisor);
    for (Cost* cost : {&costs.sample, &costs.update}) {
      *cost = {cost->elapsed_s * ratio, cost->peak * ratio, cost->kept * ratio};
    }
    costs.states *= ratio;
    return costs;
  }

  // Of one sample. A large vocabulary is measured in part.
  Cost divergence() {
    const int64_t hidden_size = run_.model.config.hidden_size;
    const int64_t vocabulary = measured_vocabulary();
    const auto options = options_.dtype(recovery::training_dtype(run_.device));
    std::optional<RandomHead> teacher;
    std::optional<RandomHead> student;
    const Cost loaded = probe_.measure([&] {
      teacher.emplace(vocabulary, hidden_size, options);
      student.emplace(vocabulary, hidden_size, options);
    });
    const Tensor hidden = at::randn({1, run_.seqlen, hidden_size}, options);
    Cost cost =
        repeated([&] { recovery::distillation_loss(*teacher, hidden, *student, hidden, 1.0); });
    const double ratio =
        static_cast<double>(run_.model.config.vocab_size) / static_cast<double>(vocabulary);
    cost.elapsed_s *= ratio;
    cost.kept = loaded.kept * ratio;
    return cost;
  }

  // Of one segment. A large vocabulary is measured in part.
  Cost head() {
    const int64_t hidden_size = run_.model.config.hidden_size;
    const int64_t vocabulary = measured_vocabulary();
    const double ratio =
        static_cast<double>(run_.model.config.vocab_size) / static_cast<double>(vocabulary);
    std::optional<RandomHead> head;
    const Cost loaded = probe_.measure([&] { head.emplace(vocabulary, hidden_size, options_); });
    const RandomEmbedding embedding(hidden_size, options_);
    const Tensor ids = at::arange(run_.seqlen).unsqueeze(0).remainder(vocabulary);
    const stream::HiddenStates hidden = embed(embedding, ids);
    Cost cost = repeated([&] { evaluation::segment_losses(*head, hidden, ids, {}); });
    cost.elapsed_s *= ratio;
    cost.peak = cost.peak * ratio;
    cost.kept = loaded.kept * ratio;
    return cost;
  }

 private:
  BlockCosts block_at_full_width(const models::ModelShape& model, const BlockKind& kind) {
    const auto& [one, divisor] = measurable(model, kind);
    if (divisor == 1) return block_of(one, kind, 1);
    const BlockCosts at_one = block_of(one, kind, divisor);
    const auto half = models::shrink(model, 2 * divisor);
    // Without a half size everything is taken to grow with the square of the width.
    const BlockCosts at_half = half ? block_of(*half, kind, 2 * divisor) : quarter_of(at_one);
    const auto ratio = static_cast<double>(divisor);
    const auto fit = [&](const BatchCost& small, const BatchCost& large) {
      const Cost next =
          power_fit({.elapsed_s = small.next_s}, {.elapsed_s = large.next_s}, ratio, kProducts);
      return BatchCost{.first = power_fit(small.first, large.first, ratio, kProducts),
                       .next_s = next.elapsed_s};
    };
    BlockCosts result;
    result.load = power_fit(at_half.load, at_one.load, ratio, kProducts);
    for (size_t i = 0; i < at_one.stages.size(); ++i) {
      result.stages.push_back(fit(at_half.stages[i], at_one.stages[i]));
    }
    result.finish = fit(at_half.finish, at_one.finish);
    for (size_t i = 0; i < at_one.estimate_stages.size(); ++i) {
      result.estimate_stages.push_back(fit(at_half.estimate_stages[i], at_one.estimate_stages[i]));
    }
    result.forward = fit(at_half.forward, at_one.forward);
    return result;
  }

  // The model with as few experts in a block as its router allows, so that wide ones can be measured: experts are alike, and
  // together they do the same work.
  std::pair<models::ModelShape, BlockKind> with_few_experts(const BlockKind& kind) const {
    const models::BlockSpec& block = run_.model.block(kind.example);
    if (!block.moe) return {run_.model, kind};
    const models::RouterSpec& router = block.moe->router;
    const int64_t of_group =
        std::max<int64_t>(2, (2 * router.chosen + router.groups_chosen - 1) / router.groups_chosen);
    const int64_t few = router.groups * of_group;
    const auto of_experts = static_cast<size_t>(std::ranges::count_if(
        block.linears, [](const models::LinearSpec& layer) { return layer.expert >= 0; }));
    const size_t outside = block.linears.size() - of_experts;
    const size_t each = of_experts / static_cast<size_t>(router.experts);
    // Where --include chooses among them they are not alike.
    bool alike = few < router.experts;
    for (size_t i = outside; i < kind.chosen.size() && alike; ++i) {
      alike = kind.chosen[i] == kind.chosen[outside + (i - outside) % each];
    }
    if (!alike) return {run_.model, kind};
    BlockKind fewer = kind;
    fewer.chosen.resize(outside + each * static_cast<size_t>(few));
    return {models::with_experts(run_.model, few), fewer};
  }

  // How many stages come before those of experts.
  static size_t outside_experts(const models::ModelShape& model, const BlockKind& kind,
                                stream::Order order) {
    const dist::BlockRoute route =
        dist::route_through(model.linears(kind.example), kind.chosen, order, 1);
    return static_cast<size_t>(std::ranges::count_if(
        route, [](const dist::Stage& stage) { return !models::is_of_expert(stage.front().site); }));
  }

  // The stages of all experts from those of some, of which each had more tokens.
  static void repeat_experts(std::vector<BatchCost>& stages, size_t outside, double share) {
    if (stages.size() == outside) return;
    std::vector<BatchCost> some(stages.begin() + static_cast<std::ptrdiff_t>(outside),
                                stages.end());
    for (BatchCost& stage : some) {
      stage.first.elapsed_s *= share;
      stage.next_s *= share;
    }
    const auto all = static_cast<size_t>(std::llround(static_cast<double>(some.size()) / share));
    stages.resize(outside);
    for (size_t i = 0; i < all; ++i) stages.push_back(some[i % some.size()]);
  }

  // The model at the largest width at which this block takes no longer than it may, and what divides the width.
  std::pair<models::ModelShape, int64_t> measurable(const models::ModelShape& model,
                                                    const BlockKind& kind) const {
    const int64_t most = run_.device.is_cuda() ? kMostWeightsCuda : kMostWeightsCpu;
    std::pair<models::ModelShape, int64_t> result(model, 1);
    while (result.first.block_elements(kind.example) > most) {
      std::optional<models::ModelShape> smaller;
      // Not every width is even: the next divisor that there is.
      int64_t next = 2 * result.second;
      for (; next <= model.config.hidden_size && !smaller; ++next) {
        smaller = models::shrink(model, next);
      }
      if (!smaller) break;
      result = {std::move(*smaller), next - 1};
    }
    return result;
  }

  int64_t measured_vocabulary() const {
    const double most = run_.device.is_cuda() ? kMostHeadWorkCuda : kMostHeadWorkCpu;
    const auto words = static_cast<int64_t>(
        most / static_cast<double>(run_.seqlen * run_.model.config.hidden_size));
    return std::min(run_.model.config.vocab_size, std::max<int64_t>(words, 256));
  }

  RecoveryCosts recovery_of(const models::ModelShape& shape, const BlockKind& kind) {
    const at::ScalarType dtype = recovery::training_dtype(run_.device);
    const models::WeightLoader loader =
        models::WeightLoader::random(run_.stored_dtype, run_.device, dtype);
    const auto block = make_block(shape, loader, kind.example);
    std::vector<size_t> readers;
    std::vector<recovery::KeptLayer> layers;
    RecoveryCosts costs;
    for (size_t i = 0; i < kind.chosen.size(); ++i) {
      if (!kind.chosen[i]) continue;
      Tensor& weight = block->linears()[i].weight;
      weight = weight * at::rand_like(weight).gt(run_.solver.sparsity);
      Tensor bits = kernels::kept_bits(weight);
      const Tensor states = at::empty({3, kernels::count_kept(bits)},
                                      at::TensorOptions(run_.device).dtype(at::kFloat));
      costs.states += static_cast<double>(bits.nbytes() + states.nbytes());
      layers.emplace_back(std::move(bits), weight.sizes().vec(), states).set(weight);
      readers.push_back(i);
    }
    const Tensor hidden = at::randn({1, run_.seqlen, shape.config.stream_size()},
                                    at::TensorOptions(run_.device).dtype(dtype));
    std::vector<Tensor> gradients;
    costs.sample = repeated([&] {
      block->forward(hidden);
      const auto found = recovery::block_gradients(
          *block, hidden, [&](const Tensor&) { return hidden; }, readers, /*with_input=*/true);
      gradients.clear();
      for (size_t i = 0; i < layers.size(); ++i) {
        gradients.push_back(kernels::gather_kept(layers[i].bits(), found.weights[i]));
      }
    });
    costs.update = repeated([&] {
      for (size_t i = 0; i < layers.size(); ++i) {
        layers[i].step_(gradients[i], {.number = 1, .rate = 0.0});
        for (int time = 0; time < 2; ++time) layers[i].weight(dtype);
      }
    });
    return costs;
  }

  int64_t most_columns() const {
    return run_.device.is_cuda() ? kMostColumnsCuda : kMostColumnsCpu;
  }

  stream::HiddenStates embed(const models::Embedding& embedding, const Tensor& ids) const {
    return stream::HiddenStates::embed(embedding, ids, scratch_, stream::StatesPlace::kDevice,
                                       batch_);
  }

  template <class Action>
  Cost repeated(const Action& action) {
    action();
    std::vector<Cost> costs;
    for (int i = 0; i < kRepeats; ++i) costs.push_back(probe_.measure(action));
    return median(std::move(costs));
  }

  static BlockCosts quarter_of(const BlockCosts& costs) {
    const auto quarter = [](const Cost& c) {
      return Cost{c.elapsed_s / 4, c.peak * 0.25, c.kept * 0.25};
    };
    const auto quarter_batch = [&](const BatchCost& c) {
      return BatchCost{quarter(c.first), c.next_s / 4};
    };
    BlockCosts result{.load = quarter(costs.load),
                      .finish = quarter_batch(costs.finish),
                      .forward = quarter_batch(costs.forward)};
    for (const BatchCost& stage : costs.stages) result.stages.push_back(quarter_batch(stage));
    for (const BatchCost& stage : costs.estimate_stages) {
      result.estimate_stages.push_back(quarter_batch(stage));
    }
    return result;
  }

  BlockCosts block_of(const models::ModelShape& shape, const BlockKind& kind, int64_t divisor) {
    const models::WeightLoader loader =
        models::WeightLoader::random(run_.stored_dtype, run_.device, run_.dtype);
    walk(shape, kind, divisor, loader, 1);  // draws the weights, warms up
    const Stopwatch watch;
    std::vector<BlockWalk> one = {walk(shape, kind, divisor, loader, 1)};
    // A long walk is steady enough as it is.
    const bool is_long = watch.elapsed_s() > kLongEnoughS;
    const int64_t more = is_long ? 2 : kBatches;
    std::vector<BlockWalk> several = {walk(shape, kind, divisor, loader, more)};
    for (int i = 1; i < kRepeats && !is_long; ++i) {
      one.push_back(walk(shape, kind, divisor, loader, 1));
      several.push_back(walk(shape, kind, divisor, loader, more));
    }
    const auto of = [](const std::vector<BlockWalk>& walks, const auto& part) {
      std::vector<Cost> costs;
      for (const BlockWalk& w : walks) costs.push_back(part(w));
      return median(std::move(costs));
    };
    const auto batches = [&](const auto& part) {
      // From the second batch on all Hessians are there, so memory is that of several.
      Cost cost = of(several, part);
      const double first_s = of(one, part).elapsed_s;
      const double next_s = (cost.elapsed_s - first_s) / static_cast<double>(more - 1);
      cost.elapsed_s = first_s;
      return BatchCost{.first = cost, .next_s = std::max(0.0, next_s)};
    };
    BlockCosts costs;
    costs.load = of(one, [](const BlockWalk& w) { return w.load; });
    for (size_t i = 0; i < one.front().stages.size(); ++i) {
      costs.stages.push_back(batches([i](const BlockWalk& w) { return w.stages[i]; }));
    }
    costs.finish = batches([](const BlockWalk& w) { return w.finish; });
    for (size_t i = 0; i < one.front().estimate_stages.size(); ++i) {
      costs.estimate_stages.push_back(
          batches([i](const BlockWalk& w) { return w.estimate_stages[i]; }));
    }
    costs.forward = batches([](const BlockWalk& w) { return w.forward; });
    return costs;
  }

  BlockWalk walk(const models::ModelShape& shape, const BlockKind& kind, int64_t divisor,
                 const models::WeightLoader& loader, int64_t batches) {
    BlockWalk result;
    std::unique_ptr<models::Block> block;
    result.load = probe_.measure(
        [&] { block = make_block(shape, loader, kind.example, models::ExpertWeights::kOnDemand); });
    const RandomEmbedding embedding(shape.config.stream_size(), options_);
    const int64_t samples = batches * batch_;
    const Tensor ids = at::arange(run_.seqlen).expand({samples, run_.seqlen}).contiguous();
    dist::Communicator alone;
    const dist::SampleSplit split(samples, 1, /*deterministic=*/false);
    {
      const dist::BlockRoute route = dist::route_through(*block, kind.chosen, run_.order, 1);
      stream::KeptSites kept = stream::choose_kept_sites(
          run_.model, run_.tokens_of_a_rank(), static_cast<int64_t>(c10::elementSize(run_.dtype)),
          run_.device);
      kept = {.width = kept.width / divisor};
      stream::CalibrationStream calibration =
          run_.order == stream::Order::kSequential
              ? stream::CalibrationStream(embed(embedding, ids), kept, kTokens)
              : stream::CalibrationStream(embed(embedding, ids), run_.model, run_.order);
      dist::SiteHessians hessians(route, *block, split, alone);
      for (const dist::Stage& stage : route) {
        result.stages.push_back(
            probe_.measure([&] { calibration.observe(*block, dist::sites_of(stage), hessians); }));
        for (const dist::SiteRoute& site : stage) {
          hessians.reduce_(site);
          hessians.take(site);
        }
      }
      result.finish = probe_.measure([&] { calibration.advance(*block); });
    }
    stream::HiddenStates hidden = embed(embedding, ids);
    {
      const dist::BlockRoute route =
          dist::route_through(*block, kind.chosen, stream::Order::kBlock, 1);
      dist::EstimateObserver observer(route, *block, split, alone);
      stream::EstimateStream stages(hidden, *block, kTokens);
      for (const dist::Stage& stage : route) {
        result.estimate_stages.push_back(
            probe_.measure([&] { stages.reach(dist::sites_of(stage), observer); }));
        for (const dist::SiteRoute& site : stage) {
          observer.reduce_(site);
          observer.take(site);
        }
      }
      const Cost last = probe_.measure([&] {
        stages.finish();
        hidden.energies();
      });
      if (!result.estimate_stages.empty()) {
        result.estimate_stages.back().elapsed_s += last.elapsed_s;
      }
    }
    result.forward = probe_.measure([&] { hidden.advance(*block); });
    return result;
  }

  // Activations with what real ones have: a few columns much larger than the rest, and correlation.
  Tensor activations(int64_t cols) const {
    const int64_t tokens = std::min(2 * cols, std::max<int64_t>(run_.nsamples * run_.seqlen, 64));
    const at::TensorOptions options = options_.dtype(at::kFloat);
    Tensor x = at::randn({1, tokens, cols}, options);
    x.add_(at::randn({1, tokens, 8}, options).matmul(at::randn({8, cols}, options)));
    return x.mul_(at::randn({cols}, options).exp_()).to(run_.dtype);
  }

  hessian::HessianFactor& factor_of(int64_t cols) {
    hessian::HessianFactor& factor = factors_[cols];
    if (factor.v.defined()) return factor;
    const Tensor x = activations(cols);
    std::vector<Cost> costs;
    SiteCosts& site = sites_[cols];
    for (int i = 0; i < kRepeats; ++i) {
      factor = {};
      hessian::HessianAccumulator accumulator(cols, run_.device);
      accumulator.add(hessian::all_rows(x));
      Tensor hessian;
      const Cost finished = probe_.measure([&] { hessian = accumulator.finish(); });
      const Cost factored = probe_.measure(
          [&] { factor = hessian::factorize_(hessian, run_.percdamp, run_.act_order); });
      costs.push_back(factored);
      costs.back().elapsed_s += finished.elapsed_s;
      site.hessian = {.host = run_.device.is_cpu() ? static_cast<double>(hessian.nbytes()) : 0.0,
                      .device = run_.device.is_cpu() ? 0.0 : static_cast<double>(hessian.nbytes())};
      if (costs.front().elapsed_s > 1.0) break;
    }
    site.factorize = median(std::move(costs));
    return factor;
  }

  SiteCosts site_of(int64_t cols) {
    factor_of(cols);
    return sites_.at(cols);
  }

  // Rows are doubled up to the layer's or until a call is long enough; what is missing is linear in the rows.
  template <class Call>
  Cost by_rows(int64_t rows, const Call& call) {
    int64_t now = std::min(rows, kFewestRows);
    call(now);  // warms up
    Cost cost = call(now);
    std::optional<Cost> before;
    while (now < rows && (!before || cost.elapsed_s < kLongEnoughS)) {
      before = cost;
      now = std::min(2 * now, rows);
      cost = call(now);
    }
    if (now == rows) {
      if (cost.elapsed_s < kLongEnoughS) cost = median({call(rows), call(rows), cost});
      return cost;
    }
    return linear_fit(*before, static_cast<double>(now) / 2, cost, static_cast<double>(now),
                      static_cast<double>(rows));
  }

  LayerCosts extrapolated_layer(int64_t rows, int64_t cols) {
    const int64_t most = most_columns();
    if (cols <= most) return layer_of(rows, cols);
    const LayerCosts half = layer_of(rows, most / 2);
    const LayerCosts one = layer_of(rows, most);
    const double ratio = static_cast<double>(cols) / static_cast<double>(most);
    return {.estimate = power_fit(half.estimate, one.estimate, ratio, kFactors),
            .prune = power_fit(half.prune, one.prune, ratio, kFactors),
            .trial = power_fit(half.trial, one.trial, ratio, kFactors),
            .hash_s = one.hash_s * ratio};
  }

  // The search holds some tensors of the weight's size and some of the Hessian's; which of them are the peak follows
  // from the layer's shape. So the shape is kept, and memory grows with the square of the width.
  Bytes peak_by_aspect(int64_t rows, int64_t cols) {
    const auto measured = [&](int64_t narrow) {
      const hessian::HessianFactor& factor = factor_of(narrow);
      const Tensor weight = at::randn({std::max<int64_t>(1, rows * narrow / cols), narrow},
                                      options_.dtype(at::kFloat))
                                .mul_(0.02)
                                .to(run_.dtype);
      return Cost{.peak = probe_
                              .measure([&] {
                                solver::prune_stored_(weight, factor, run_.solver,
                                                      run_.stored_dtype);
                              })
                              .peak};
    };
    const double ratio = static_cast<double>(cols) / static_cast<double>(kAspectColumns);
    return power_fit(measured(kAspectColumns / 2), measured(kAspectColumns), ratio, kFactors).peak;
  }

  // Refining takes a layer part by part, so its memory grows slower in many rows than in few; a single step shows it.
  template <class WeightOf>
  Bytes peak_of_many(int64_t rows, const hessian::HessianFactor& factor,
                     const WeightOf& weight_of) {
    solver::SolverOptions options = run_.solver;
    options.refine = std::min<int64_t>(options.refine, 1);
    const auto pruned = [&](int64_t count) {
      const Tensor weight = weight_of(count);
      return probe_.measure(
          [&] { solver::prune_stored_(weight, factor, options, run_.stored_dtype); });
    };
    const int64_t many = kManyWeights / factor.cols();
    return linear_fit(pruned(many), static_cast<double>(many), pruned(2 * many),
                      static_cast<double>(2 * many), static_cast<double>(rows))
        .peak;
  }

  LayerCosts layer_of(int64_t rows, int64_t cols) {
    const hessian::HessianFactor& factor = factor_of(cols);
    // Drawing numbers takes longer than some of the calls: rows repeat but for their scale.
    const Tensor drawn = at::randn({kFewestRows, cols}, options_.dtype(at::kFloat)).mul_(0.02);
    const auto weight_of = [&](int64_t count) {
      const int64_t times = (count + kFewestRows - 1) / kFewestRows;
      const Tensor scale = at::rand({count, 1}, drawn.options()).add_(0.5);
      return drawn.repeat({times, 1}).slice(0, 0, count).mul(scale).to(run_.dtype);
    };
    const auto pruned_by = [&](const solver::SolverOptions& options) {
      return by_rows(rows, [&](int64_t count) {
        Tensor weight = weight_of(count);
        Tensor stored;
        return probe_.measure([&] {
          stored = solver::prune_stored_(weight, factor, options, run_.stored_dtype).stored;
          weight = stored.to(run_.dtype);
        });
      });
    };
    LayerCosts costs;
    costs.estimate = by_rows(rows, [&](int64_t count) {
      const Tensor weight = weight_of(count);
      return probe_.measure([&] { loss::estimate_loss(weight, factor); });
    });
    costs.prune = pruned_by(run_.solver);
    if (run_.solver.solver == solver::Algorithm::kSparseGpt && rows * cols > 2 * kManyWeights) {
      costs.prune.peak = peak_of_many(rows, factor, weight_of);
    }
    costs.trial = costs.prune;
    const bool plain =
        run_.solver.solver == solver::Algorithm::kSparseGpt && run_.solver.refine == 0;
    if (run_.trials > 0 && !plain) {
      solver::SolverOptions options = run_.solver;
      options.solver = solver::Algorithm::kSparseGpt;
      options.refine = 0;
      costs.trial = pruned_by(options);
    }
    costs.hash_s = static_cast<double>(rows * cols) *
                   static_cast<double>(c10::elementSize(run_.stored_dtype)) / hash_rate_;
    return costs;
  }

  const RunShape& run_;
  std::filesystem::path scratch_;
  at::TensorOptions options_;
  int64_t batch_ = 1;
  Probe probe_;
  std::map<int64_t, hessian::HessianFactor> factors_;  // by columns
  std::map<int64_t, SiteCosts> sites_;
  double hash_rate_ = measure_hash_rate();
};

}  // namespace

Costs measure_costs(const RunShape& run, const std::filesystem::path& scratch) {
  Measurement measurement(run, scratch);
  Costs costs;
  std::set<int64_t> batches = {run.batch_of(run.largest_share(run.nsamples))};
  if (run.estimates) batches.insert(run.batch_of(run.largest_share(run.estimate_nsamples)));
  if (run.segments > 0) batches.insert(run.batch_of(run.largest_share(run.segments)));
  if (run.trials > 0) batches.insert(run.batch_of(run.trial_samples));
  for (const auto& [kind, count] : run.kinds_of_block()) {
    for (const int64_t batch : batches) {
      costs.blocks[{kind, batch}] = measurement.block(kind, batch);
    }
    const std::vector<LinearSpec>& linears = run.model.linears(kind.example);
    for (size_t i = 0; i < linears.size(); ++i) {
      if (!kind.chosen[i]) continue;
      const auto [rows, cols] = std::pair(linears[i].rows, linears[i].cols);
      if (!costs.sites.contains(cols)) costs.sites[cols] = measurement.site(cols);
      if (!costs.layers.contains({rows, cols})) {
        costs.layers[{rows, cols}] = measurement.layer(rows, cols);
      }
    }
  }
  if (run.recovery.steps > 0) {
    for (const auto& [kind, count] : run.kinds_of_block()) {
      costs.recovery[kind] = measurement.recovery(kind);
    }
    costs.divergence = measurement.divergence();
  }
  costs.embedding = measurement.embedding();
  costs.head = measurement.head();
  return costs;
}

double measure_hash_rate() {
  const std::vector<std::byte> bytes(kHashedBytes);
  const Stopwatch watch;
  sha256_hex(bytes);
  return static_cast<double>(bytes.size()) / watch.elapsed_s();
}

DiskCosts measure_disk(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::string name = (folder / ".prune-plan-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return {};
  const fs::path place = name;
  DiskCosts costs;
  try {
    // The smallest checkpoint that a writer takes: one tensor.
    const std::string header =
        fmt::format(R"({{"x":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}})", kDiskBytes);
    const auto length = static_cast<uint64_t>(header.size());
    std::string file(sizeof(length), '\0');
    for (size_t i = 0; i < sizeof(length); ++i) file[i] = static_cast<char>(length >> (8 * i));
    const fs::path source_folder = place / "source";
    fs::create_directory(source_folder);
    write_file(source_folder / "config.json", "{}");
    write_file(source_folder / "model.safetensors", file + header + std::string(kDiskBytes, 'p'));
    const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(source_folder);
    checkpoint::CheckpointWriter writer(source, place / "out");
    const Tensor value = at::ones({static_cast<int64_t>(kDiskBytes)}, at::kByte);
    const Stopwatch writing;
    writer.write("x", value);
    writer.sync();
    costs.stored_bytes = static_cast<double>(kDiskBytes) / writing.elapsed_s();
    costs.record_s = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kRecords; ++i) {
      const Stopwatch recording;
      writer.record("{}");
      costs.record_s = std::min(costs.record_s, recording.elapsed_s());
    }
  } catch (const Error&) {
    costs = {};  // a full disk, for example: the plan says what space there is
  }
  std::error_code failure;
  fs::remove_all(place, failure);
  return costs;
}

double measure_read_rate(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0.0;
  std::vector<char> bytes(kDiskBytes);
  const Stopwatch watch;
  const ssize_t count = pread(fd, bytes.data(), bytes.size(), 0);
  const double elapsed_s = watch.elapsed_s();
  close(fd);
  return count > 0 ? static_cast<double>(count) / elapsed_s : 0.0;
}

}  // namespace prune::plan
