#include <prune/dist/route.h>
#include <prune/dist/sample_split.h>
#include <prune/hessian/accumulator.h>
#include <prune/plan/price.h>
#include <prune/stream/expert_forward.h>

#include <algorithm>
#include <functional>

namespace prune::plan {
namespace {

using models::LinearSpec;

constexpr const char* kForward = "forward and Hessians";
constexpr const char* kFactors = "factors";
constexpr const char* kLoading = "loading weights";
constexpr const char* kHead = "head";
constexpr const char* kRecords = "records";
// Of solver::keep_columns, beside hessian::factorize_: inverse, updates, the weights that stay.
constexpr double kFactorsOfAnInverse = 6.0;
constexpr double kHessiansOfAnInverse = 3.0;

constexpr const char* kWaiting = "waiting for other ranks";

double element_bytes(at::ScalarType dtype) { return static_cast<double>(c10::elementSize(dtype)); }

/// Memory held while a pass goes on, and the moments at which it was most.
class Ledger {
 public:
  Ledger(const RunShape& run, std::string pass, std::vector<Moment>& moments)
      : run_(run), pass_(std::move(pass)), moments_(moments) {}

  void hold(const std::string& what, const Bytes& size) { held_[what] = held_[what] + size; }
  void drop(const std::string& what, const Bytes& size) { held_[what] = held_[what] - size; }

  /// A step that takes `peak` on top of what is held.
  void step(const std::string& when, const Bytes& peak) {
    Moment moment{.when = pass_ + ": " + when, .items = {}};
    for (const auto& [what, size] : held_) {
      if (size.total() > 0.0) moment.items.push_back({what, size});
    }
    moment.items.push_back({when, peak});
    const auto known = std::ranges::find(moments_, moment.when, &Moment::when);
    if (known == moments_.end()) {
      moments_.push_back(std::move(moment));
    } else if (moment.total().total() > known->total().total()) {
      *known = std::move(moment);
    }
  }

  Bytes on_device(double size) const {
    return run_.device.is_cuda() ? Bytes{0.0, size} : Bytes{size, 0.0};
  }
  /// Activations of all samples, where there is room for them.
  Bytes in_place(double size, stream::StatesPlace place) const {
    switch (place) {
      case stream::StatesPlace::kDevice:
        return on_device(size);
      case stream::StatesPlace::kHost:
        return {size, 0.0};
      case stream::StatesPlace::kFile:
        break;
    }
    return {};
  }

 private:
  const RunShape& run_;
  std::string pass_;
  std::vector<Moment>& moments_;
  std::map<std::string, Bytes> held_;
};

/// What a rank spends between two meetings with the others.
struct Stretch {
  double accumulate_s = 0.0;
  std::map<std::string, double> solve_s;
  double solved_s() const {
    double sum_s = 0.0;
    for (const auto& [what, elapsed_s] : solve_s) sum_s += elapsed_s;
    return sum_s;
  }
};

/// A pass over calibration samples as it is priced.
struct PassKind {
  const char* name;
  const char* solving;  // kind of work
  bool estimate;
  bool trial;
};

constexpr PassKind kEstimate{"estimate", "estimates", true, false};
constexpr PassKind kPrune{"prune", "solver", false, false};
constexpr PassKind kScore{"score", "solver", false, true};

/// Prices the steps of one rank through one block.
class PricedSteps : public dist::BlockSteps {
 public:
  PricedSteps(const RunShape& run, const Costs& costs, const std::vector<LinearSpec>& linears,
              const BlockCosts& block, const PassKind& pass, int64_t rank, double batches,
              Ledger& ledger)
      : run_(run),
        costs_(costs),
        linears_(linears),
        block_(block),
        pass_(pass),
        rank_(rank),
        batches_(batches),
        ledger_(ledger) {}

  void accumulate(const dist::Stage& stage) override {
    const std::vector<BatchCost>& stages = pass_.estimate ? block_.estimate_stages : block_.stages;
    const BatchCost& cost = stages.at(stretches_.size());
    ledger_.step("forward", cost.first.peak);
    stretches_.push_back({.accumulate_s = cost.elapsed_s(batches_)});
    for (const dist::SiteRoute& site : stage) {
      if (site.owner == rank_) ledger_.hold("Hessians", costs_.sites.at(site.cols).hessian);
    }
  }
  void factorize(const dist::SiteRoute& site) override {
    const SiteCosts& cost = costs_.sites.at(site.cols);
    ledger_.step("factorisation", cost.factorize.peak);
    ledger_.hold("factor", cost.factorize.kept);
    spend(kFactors, cost.factorize.elapsed_s);
  }
  void solve(const dist::SiteRoute&, size_t reader) override {
    const LinearSpec& layer = linears_[reader];
    const LayerCosts& layer_costs = costs_.layers.at({layer.rows, layer.cols});
    const Cost& cost = pass_.estimate ? layer_costs.estimate
                       : pass_.trial  ? layer_costs.trial
                                      : layer_costs.prune;
    ledger_.step(pass_.solving, cost.peak);
    spend(pass_.solving, cost.elapsed_s);
    if (pass_.estimate || pass_.trial) return;
    // The layer before it has been written by now.
    ledger_.drop("layer being written", writing_);
    writing_ = {.host = static_cast<double>(layer.rows * layer.cols) *
                        element_bytes(run_.stored_dtype)};
    ledger_.hold("layer being written", writing_);
  }
  void release(const dist::SiteRoute& site) override {
    const SiteCosts& cost = costs_.sites.at(site.cols);
    ledger_.drop("factor", cost.factorize.kept);
    ledger_.drop("Hessians", cost.hessian);
  }
  void share(const dist::SiteRoute&, size_t) override {}

  const std::vector<Stretch>& stretches() const { return stretches_; }
  void finish() { ledger_.drop("layer being written", writing_); }

 private:
  void spend(const std::string& what, double elapsed_s) {
    stretches_.back().solve_s[what] += elapsed_s;
  }

  const RunShape& run_;
  const Costs& costs_;
  const std::vector<LinearSpec>& linears_;
  const BlockCosts& block_;
  const PassKind& pass_;
  int64_t rank_;
  double batches_;
  Ledger& ledger_;
  std::vector<Stretch> stretches_;
  Bytes writing_;
};

class Pricing {
 public:
  Pricing(const RunShape& run, const Costs& costs)
      : run_(run), costs_(costs), kinds_(run.kinds_of_block()) {}

  Price finish() {
    if (run_.choice.elements > 0) choosing_units();
    if (run_.segments > 0) evaluation();
    if (run_.estimates) {
      Phase& phase = begin(kEstimate.name);
      pass(kEstimate, run_.estimate_nsamples, run_.world_size, phase);
    }
    if (run_.trials > 0) {
      Phase& phase = begin(kScore.name);
      // A rank tries whole schedules alone.
      const int64_t rounds = run_.largest_share(run_.trials);
      for (int64_t i = 0; i < rounds; ++i) pass(kScore, run_.trial_samples, 1, phase);
    }
    Phase& prune = begin(kPrune.name);
    if (run_.adopts) {
      adopting();
    } else {
      pass(kPrune, run_.nsamples, run_.world_size, prune);
    }
    writing(prune);
    if (run_.recovery.steps > 0) recovery();
    return std::move(price_);
  }

 private:
  Phase& begin(const std::string& name) {
    price_.phases.push_back({.name = name, .work_s = {}});
    return price_.phases.back();
  }

  double batches(int64_t samples) const {
    return static_cast<double>(samples) / static_cast<double>(run_.batch_of(samples));
  }
  // The costs of a block in a pass over so many samples of a rank.
  const BlockCosts& costs_of(const BlockKind& kind, int64_t samples) const {
    return costs_.blocks.at({kind, run_.batch_of(samples)});
  }

  double stream_bytes(int64_t samples) const {
    return static_cast<double>(samples * run_.seqlen * run_.model.config.stream_size()) *
           element_bytes(run_.dtype);
  }
  // Pages of the weight files that were read count as the process's memory.
  Bytes mapped(int64_t elements) const {
    return {.host = static_cast<double>(elements) * element_bytes(run_.stored_dtype)};
  }
  void read(Phase& phase, int64_t elements, double times = 1.0) const {
    if (costs_.read_bytes <= 0.0) return;
    phase.reading_s += times * mapped(elements).host / costs_.read_bytes;
  }

  void hold_states(Ledger& ledger, int64_t samples) const {
    const double size = stream_bytes(samples);
    const stream::StatesPlace place = stream::choose_place(static_cast<int64_t>(size), run_.device);
    ledger.hold("hidden states", ledger.in_place(size, place));
    if (place != stream::StatesPlace::kDevice) {
      ledger.hold("hidden states of a batch",
                  ledger.on_device(stream_bytes(run_.batch_of(samples))));
    }
  }

  void embed(Phase& phase, Ledger& ledger, int64_t samples) const {
    const Bytes table = mapped(run_.model.embedding_elements);
    ledger.hold("embedding, mapped", table);
    ledger.step("embedding", ledger.on_device(2 * stream_bytes(run_.batch_of(samples))));
    ledger.drop("embedding, mapped", table);
    phase.work_s[kForward] += static_cast<double>(samples) * costs_.embedding.elapsed_s;
    load_ends(phase, run_.model.embedding_elements);
  }
  // Tensors outside the blocks load at the blocks' rate.
  void load_ends(Phase& phase, int64_t elements) const {
    const auto& [measured, costs] = *costs_.blocks.begin();
    phase.work_s[kLoading] +=
        costs.load.elapsed_s * static_cast<double>(elements) /
        static_cast<double>(run_.model.block_elements(measured.first.example));
    read(phase, elements);
  }
  void head(Phase& phase, Ledger& ledger, int64_t samples) const {
    ledger.hold("head, mapped", mapped(run_.model.head_elements));
    ledger.hold("head", costs_.head.kept);
    ledger.step("logits", costs_.head.peak);
    ledger.drop("head", costs_.head.kept);
    ledger.drop("head, mapped", mapped(run_.model.head_elements));
    phase.work_s[kHead] += static_cast<double>(samples) * costs_.head.elapsed_s;
    load_ends(phase, run_.model.head_elements);
  }
  void load_block(Phase& phase, Ledger& ledger, const BlockKind& kind, const BlockCosts& costs,
                  double times) const {
    const int64_t elements = run_.model.block_elements(kind.example);
    ledger.hold("weights of a block", costs.load.kept);
    ledger.hold("weights of a block, mapped", mapped(elements_at_once(kind)));
    phase.work_s[kLoading] += times * costs.load.elapsed_s;
    read(phase, elements, times);
  }
  void drop_block(Ledger& ledger, const BlockKind& kind, const BlockCosts& costs) const {
    ledger.drop("weights of a block", costs.load.kept);
    ledger.drop("weights of a block, mapped", mapped(elements_at_once(kind)));
  }
  // Of a block's experts only a few are in memory.
  int64_t elements_at_once(const BlockKind& kind) const {
    const std::vector<LinearSpec>& layers = run_.model.linears(kind.example);
    const int64_t at_once = stream::experts_at_once(layers);
    int64_t elements = run_.model.block_elements(kind.example);
    for (const LinearSpec& layer : layers) {
      if (layer.expert >= at_once) elements -= layer.rows * layer.cols;
    }
    return elements;
  }

  // Before and after.
  void evaluation() {
    Phase& phase = begin("evaluate");
    const int64_t segments = run_.largest_share(run_.segments);
    Ledger ledger(run_, "evaluate", price_.moments);
    hold_states(ledger, segments);
    for (int pass = 0; pass < 2; ++pass) {
      embed(phase, ledger, segments);
      for (const auto& [kind, count] : kinds_) {
        const BlockCosts& costs = costs_of(kind, segments);
        load_block(phase, ledger, kind, costs, count);
        ledger.step("forward", costs.forward.first.peak);
        phase.work_s[kForward] += count * costs.forward.elapsed_s(batches(segments));
        drop_block(ledger, kind, costs);
      }
      head(phase, ledger, segments);
    }
  }

  void choosing_units() {
    Phase& phase = begin("choose");
    if (run_.choice.blocks > 0) choosing_blocks(phase);
    if (run_.choice.scores_experts) scoring_experts(phase);
    if (run_.choice.solves_columns) solving_columns(phase);
  }

  // One forward of the whole model for each round; beside it the rest of the model without each block that is measured.
  void choosing_blocks(Phase& phase) {
    const int64_t samples = run_.largest_share(run_.choice.block_samples);
    const auto blocks = static_cast<double>(run_.blocks() + run_.choice.blocks);
    const auto again = static_cast<double>(run_.choice.blocks_again);
    double forwards = blocks + blocks * blocks / 2;
    double heads = blocks + 1;
    for (double left = blocks - 1; left > static_cast<double>(run_.blocks()); --left) {
      forwards += left + again * left / 2;
      heads += again;
    }
    Ledger ledger(run_, "choose blocks", price_.moments);
    hold_states(ledger, static_cast<int64_t>(blocks) * samples);
    embed(phase, ledger, samples);
    for (const auto& [kind, count] : kinds_) {
      const int64_t measured = run_.largest_share(run_.nsamples);  // in batches of as many
      const BlockCosts& costs = costs_of(kind, measured);
      const double all_batches =
          static_cast<double>(samples) / static_cast<double>(run_.batch_of(measured));
      const double share = count / static_cast<double>(run_.blocks());
      load_block(phase, ledger, kind, costs,
                 share * blocks * static_cast<double>(run_.choice.blocks));
      ledger.step("forward", costs.forward.first.peak);
      phase.work_s[kForward] +=
          share * forwards * run_.choice.block_ratio * costs.forward.elapsed_s(all_batches);
      drop_block(ledger, kind, costs);
    }
    head(phase, ledger, static_cast<int64_t>(heads) * samples);
  }

  // The scores of all experts; then the held-out samples, with all of them and with those that stay.
  void scoring_experts(Phase& phase) {
    const int64_t samples = run_.largest_share(run_.nsamples);
    const auto held_out = static_cast<double>(recovery::held_out_samples(run_.nsamples));
    const double passes = 1.0 + held_out / static_cast<double>(run_.nsamples);
    Ledger ledger(run_, "choose experts", price_.moments);
    hold_states(ledger, samples);
    embed(phase, ledger, samples);
    for (const auto& [kind, count] : kinds_) {
      const BlockCosts& costs = costs_of(kind, samples);
      load_block(phase, ledger, kind, costs, 3.0 * count);
      ledger.step("forward", costs.forward.first.peak);
      phase.work_s[kForward] += count * passes * costs.forward.elapsed_s(batches(samples));
      drop_block(ledger, kind, costs);
    }
    load_ends(phase, 2 * run_.choice.elements);  // at the blocks' rate, as the others
    head(phase, ledger, static_cast<int64_t>(2 * held_out));
  }

  // A pass of all samples through the whole model. The inverse of a Hessian and the weights for the columns that stay
  // take a few times as long as a factor.
  void solving_columns(Phase& phase) {
    const int64_t samples = run_.largest_share(run_.nsamples);
    Ledger ledger(run_, "choose columns", price_.moments);
    hold_states(ledger, samples);
    embed(phase, ledger, samples);
    for (const auto& [kind, count] : kinds_) {
      const BlockCosts& costs = costs_of(kind, samples);
      load_block(phase, ledger, kind, costs, count);
      for (const BatchCost& stage : costs.stages) {
        ledger.step("forward", stage.first.peak);
        phase.work_s[kForward] +=
            count * run_.choice.block_ratio * stage.elapsed_s(batches(samples));
      }
      for (const LinearSpec& layer : run_.model.linears(kind.example)) {
        if (layer.expert >= 0 || !layer.writes_stream) continue;
        const auto found = costs_.sites.find(layer.cols);
        if (found == costs_.sites.end()) continue;  // --exclude
        const SiteCosts& site = found->second;
        const double ratio = run_.choice.block_ratio;
        ledger.hold("Hessians", site.hessian * (ratio * ratio));
        ledger.step("inverse", site.factorize.peak * (kHessiansOfAnInverse * ratio * ratio));
        ledger.drop("Hessians", site.hessian * (ratio * ratio));
        phase.work_s[kFactors] +=
            count * kFactorsOfAnInverse * ratio * ratio * ratio * site.factorize.elapsed_s;
      }
      drop_block(ledger, kind, costs);
    }
  }

  // Layers that are written as they are, one after the other.
  void adopting() {
    Ledger ledger(run_, kPrune.name, price_.moments);
    double largest = 0.0;
    for (const auto& [kind, count] : kinds_) {
      for (const LinearSpec& layer : run_.model.linears(kind.example)) {
        largest = std::max(largest, static_cast<double>(layer.rows * layer.cols));
      }
    }
    ledger.step("layer being written", {.host = largest * element_bytes(run_.stored_dtype)});
  }

  void pass(const PassKind& pass, int64_t samples, int64_t ranks, Phase& phase) {
    const int64_t most = dist::even_part(samples, ranks, 0).size();
    const bool keeps = !pass.estimate && run_.order == stream::Order::kSequential;
    const stream::KeptSites kept =
        stream::choose_kept_sites(run_.model, most * run_.seqlen,
                                  static_cast<int64_t>(c10::elementSize(run_.dtype)), run_.device);
    std::vector<Ledger> ledgers;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      ledgers.emplace_back(run_, pass.name, price_.moments);
      // A trial also carries the samples that measure it.
      hold_states(ledgers.back(), pass.trial ? 2 * most : most);
      if (rank == 0) embed(phase, ledgers.back(), pass.trial ? 2 * most : most);
      if (keeps) {
        const double size =
            static_cast<double>(most * run_.seqlen * kept.width) * element_bytes(run_.dtype);
        ledgers.back().hold("kept activations", ledgers.back().in_place(size, kept.place));
      }
    }
    for (const auto& [kind, count] : kinds_) {
      block(pass, kind, count, samples, ranks, phase, ledgers);
    }
    if (pass.trial) {
      for (const auto& [kind, count] : kinds_) {
        phase.work_s[kForward] +=
            count * costs_of(kind, samples).forward.elapsed_s(batches(samples));
      }
      head(phase, ledgers.front(), samples);
    }
    if (pass.estimate && costs_.record_s > 0.0) {
      phase.work_s[kRecords] += static_cast<double>(run_.blocks()) * costs_.record_s;
    }
  }

  // A block of one kind, as often as there are such blocks, on all ranks.
  void block(const PassKind& pass, const BlockKind& kind, double count, int64_t samples,
             int64_t ranks, Phase& phase, std::vector<Ledger>& ledgers) {
    const int64_t most = dist::even_part(samples, ranks, 0).size();
    const BlockCosts& costs = costs_of(kind, most);
    const stream::Order order = pass.estimate ? stream::Order::kBlock : run_.order;
    const std::vector<LinearSpec>& linears = run_.model.linears(kind.example);
    const dist::BlockRoute route = dist::route_through(linears, kind.chosen, order, ranks);
    std::vector<std::vector<Stretch>> stretches;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      Ledger& ledger = ledgers[static_cast<size_t>(rank)];
      Phase unused;
      load_block(rank == 0 ? phase : unused, ledger, kind, costs, count);
      const int64_t mine = dist::even_part(samples, ranks, rank).size();
      PricedSteps steps(run_, costs_, linears, costs, pass, rank, batches(mine), ledger);
      dist::follow(route, rank, steps);
      stretches.push_back(steps.stretches());
      if (!pass.estimate) ledger.step("forward", advance_of(costs).first.peak);
      steps.finish();
      drop_block(ledger, kind, costs);
    }
    for (size_t stage = 0; stage < route.size(); ++stage) {
      // All wait for the samples of the slowest, then for what the busiest owner solves.
      double accumulate_s = 0.0;
      double solve_s = 0.0;
      for (const std::vector<Stretch>& of_rank : stretches) {
        accumulate_s = std::max(accumulate_s, of_rank[stage].accumulate_s);
        solve_s = std::max(solve_s, of_rank[stage].solved_s());
      }
      const Stretch& mine = stretches.front()[stage];
      phase.work_s[kForward] += count * accumulate_s;
      for (const auto& [what, elapsed_s] : mine.solve_s) phase.work_s[what] += count * elapsed_s;
      if (ranks > 1) phase.work_s[kWaiting] += count * (solve_s - mine.solved_s());
    }
    if (pass.estimate) {
      if (route.empty()) {
        phase.work_s[kForward] += count * costs.forward.elapsed_s(batches(most));
      }
      return;
    }
    phase.work_s[kForward] += count * advance_of(costs).elapsed_s(batches(most));
  }

  const BatchCost& advance_of(const BlockCosts& costs) const {
    return run_.order == stream::Order::kSequential ? costs.finish : costs.forward;
  }

  // Steps of the blocks and of the model, the dense model's streams, and the held-out samples.
  void recovery() {
    Phase& phase = begin("recover");
    const recovery::RecoveryOptions& options = run_.recovery;
    const int64_t mine = run_.largest_share(options.batch);
    const int64_t trained =
        std::min(run_.nsamples - run_.held_out_samples, options.steps * options.batch);
    const double both = options.scope == recovery::Scope::kBoth ? 2.0 : 1.0;
    const double steps = both * static_cast<double>(options.steps);
    const double samples = steps * static_cast<double>(mine);
    const double forwards =
        static_cast<double>(run_.largest_share(trained)) +
        static_cast<double>(run_.held_out_samples * recovery::Timetable::kMeasurements);
    Ledger ledger(run_, "recover", price_.moments);
    double states = 0.0;
    for (const auto& [kind, count] : kinds_) states += count * costs_.recovery.at(kind).states;
    ledger.hold(
        "kept weights and moments",
        ledger.in_place(states, stream::choose_place(static_cast<int64_t>(states), run_.device)));
    hold_states(ledger, run_.largest_share(trained));
    if (options.trains_model()) {
      const double borders = static_cast<double>(run_.blocks()) * stream_bytes(mine);
      ledger.hold("stream at the borders",
                  ledger.in_place(
                      borders, stream::choose_place(static_cast<int64_t>(borders), run_.device)));
    }
    ledger.hold("heads", costs_.divergence.kept);
    for (const auto& [kind, count] : kinds_) {
      const RecoveryCosts& costs = costs_.recovery.at(kind);
      const BlockCosts& block = costs_of(kind, run_.largest_share(run_.nsamples));
      load_block(phase, ledger, kind, block, count);
      ledger.step("gradients", costs.sample.peak);
      ledger.step("update", costs.update.peak);
      phase.work_s["gradients"] += count * samples * costs.sample.elapsed_s;
      phase.work_s["updates"] += count * steps * costs.update.elapsed_s;
      phase.work_s[kForward] +=
          count * forwards * block.forward.next_s /
          static_cast<double>(run_.batch_of(run_.largest_share(run_.nsamples)));
      drop_block(ledger, kind, block);
    }
    if (options.trains_model()) {
      ledger.step("divergence", costs_.divergence.peak);
      phase.work_s[kHead] +=
          static_cast<double>(options.steps * mine) * costs_.divergence.elapsed_s;
    }
  }

  // Rank 0 hashes and writes every layer beside the solver, and records it.
  void writing(Phase& prune) {
    double written_bytes = 0.0;
    double layers = 0.0;
    for (const auto& [kind, count] : kinds_) {
      for (size_t i = 0; i < kind.chosen.size(); ++i) {
        if (!kind.chosen[i]) continue;
        const LinearSpec& layer = run_.model.linears(kind.example)[i];
        prune.writing_s += count * costs_.layers.at({layer.rows, layer.cols}).hash_s;
        written_bytes +=
            count * static_cast<double>(layer.rows * layer.cols) * element_bytes(run_.stored_dtype);
        layers += count;
      }
    }
    const double per_byte_s = costs_.stored_bytes > 0.0 ? 1.0 / costs_.stored_bytes : 0.0;
    prune.writing_s += written_bytes * per_byte_s;
    prune.work_s[kRecords] += layers * costs_.record_s;
    Phase& write = begin("write");
    write.work_s["writing"] =
        std::max(0.0, static_cast<double>(input_bytes(run_)) - written_bytes) * per_byte_s;
  }

  const RunShape& run_;
  const Costs& costs_;
  std::map<BlockKind, double> kinds_;
  Price price_;
};

// Of the pruning pass.
dist::BlockRoute route_of(const RunShape& run, int64_t block) {
  return dist::route_through(run.model.linears(block), run.chosen.at(static_cast<size_t>(block)),
                             run.order, run.world_size);
}

}  // namespace

Bytes Moment::total() const {
  Bytes sum;
  for (const Item& item : items) sum = sum + item.size;
  return sum;
}

double Phase::elapsed_s() const {
  double sum_s = 0.0;
  for (const auto& [what, elapsed_s] : work_s) sum_s += elapsed_s;
  return std::max({sum_s, reading_s, writing_s});
}

Price price(const RunShape& run, const Costs& costs) { return Pricing(run, costs).finish(); }

std::vector<RankShare> rank_shares(const RunShape& run) {
  std::vector<RankShare> shares;
  const auto samples_of = [&](int64_t samples, int64_t rank) {
    return dist::even_part(samples, run.world_size, rank).size();
  };
  for (int64_t rank = 0; rank < run.world_size; ++rank) {
    RankShare share{.rank = rank,
                    .nsamples = samples_of(run.nsamples, rank),
                    .segments = samples_of(run.segments, rank)};
    const int64_t samples =
        share.nsamples + (run.estimates ? samples_of(run.estimate_nsamples, rank) : 0);
    const int64_t passes = run.estimates ? 2 : 1;
    for (int64_t block = 0; block < run.blocks(); ++block) {
      for (const dist::Stage& stage : route_of(run, block)) {
        for (const dist::SiteRoute& site : stage) {
          const int64_t elements = hessian::panel_elements(site.cols, run.device.is_cuda());
          share.hessian_flops += 2.0 * static_cast<double>(samples * run.seqlen * elements);
          if (site.owner == rank) {
            share.solved_layers += static_cast<int64_t>(site.readers.size());
          } else {
            share.sent_hessian_bytes += passes * elements * static_cast<int64_t>(sizeof(float));
          }
        }
      }
    }
    shares.push_back(share);
  }
  return shares;
}

Exchange exchange(const RunShape& run) {
  Exchange sum;
  for (int64_t block = 0; block < run.blocks(); ++block) {
    for (const dist::Stage& stage : route_of(run, block)) {
      for (const dist::SiteRoute& site : stage) {
        sum.hessian_bytes += hessian::panel_elements(site.cols, run.device.is_cuda()) *
                             static_cast<int64_t>(sizeof(float));
        for (const size_t reader : site.readers) {
          const LinearSpec& layer = run.model.linears(block)[reader];
          sum.weight_bytes +=
              layer.rows * layer.cols * static_cast<int64_t>(c10::elementSize(run.stored_dtype));
        }
      }
    }
  }
  return {.hessian_bytes = sum.hessian_bytes / run.blocks(),
          .weight_bytes = sum.weight_bytes / run.blocks()};
}

}  // namespace prune::plan
