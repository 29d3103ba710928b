#include <prune/checkpoint/pack_quantized.h>
#include <prune/hessian/accumulator.h>
#include <prune/plan/cost_model.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace prune::plan {
namespace {

using models::LinearSpec;
using Item = Moment::Item;

constexpr double kFloatBytes = 4;
constexpr double kLoopColumns = 550;   // ENGINEERING §2.1
constexpr double kLogitsAtOnce = 256;  // tokens; evaluation::perplexity
// Live in the prune pass for each weight of the layer at hand. SparseGPT: the weight twice, what it moves,
// the mask. Refining: weight, dense one and mask; gradient, direction, what that moves, the next
// gradient, a product, what is kept as zeros and ones. ALPS: both weights, what the search goes for and has
// reached, three that a step makes, the next or its squares, four masks, and where topk finds the smallest
// as many values and indices as there are zeros.
constexpr double kSparseGptBytes = 13;
constexpr double kRefineBytes = 33;
constexpr double kAlpsBytes = 36;
constexpr double kAlpsBytesPerZero = 12;
// Tensors of the weight's size that a step writes.
constexpr double kRefineWrites = 9;
constexpr double kAlpsWrites = 11;
// 42 to 69 in every layer of opt-books-6m, at 50 to 80 % and 2:4.
constexpr double kAlpsSteps = 55;
constexpr double kRecordsPerLayer = 3;
constexpr double kRecordsPerBlock = 4;

double element_bytes(at::ScalarType dtype) { return static_cast<double>(c10::elementSize(dtype)); }

// Columns of each distinct input of these layers, by its number.
std::map<int64_t, int64_t> inputs_of(const std::vector<LinearSpec>& layers) {
  std::map<int64_t, int64_t> inputs;
  for (const LinearSpec& layer : layers) inputs[layer.site] = layer.cols;
  return inputs;
}

double weights_of(const LinearSpec& layer) {
  return static_cast<double>(layer.rows) * static_cast<double>(layer.cols);
}

double solver_flops_of(const std::vector<LinearSpec>& layers) {
  double flops = 0.0;
  for (const auto& [input, cols] : inputs_of(layers)) flops += factor_flops(cols);
  for (const LinearSpec& layer : layers) flops += solver_flops(layer.rows, layer.cols);
  return flops;
}

// Elements in the panels of a Hessian's lower triangle.
double panel_elements(int64_t cols, bool on_cuda) {
  const int64_t step = hessian::panel_rows(on_cuda);
  double elements = 0.0;
  for (int64_t begin = 0; begin < cols; begin += step) {
    const int64_t end = std::min(begin + step, cols);
    elements += static_cast<double>((end - begin) * end);
  }
  return elements;
}

double panel_bytes(int64_t cols, bool on_cuda) {
  return panel_elements(cols, on_cuda) * kFloatBytes;
}

struct Forward {
  double linear_flops = 0.0;
  double attention_flops = 0.0;
  double written_bytes = 0.0;
};

// How often the layers that read each input run.
using Runs = std::vector<double>;

size_t inputs_of_block(const RunShape& run) {
  return static_cast<size_t>(run.model.linears.back().site) + 1;
}

Runs once(const RunShape& run) { return Runs(inputs_of_block(run), 1.0); }

// In the prune pass over a block of which these layers are pruned; `last`: nothing comes behind it.
Runs prune_runs(const RunShape& run, const std::vector<LinearSpec>& chosen, bool last) {
  const std::map<int64_t, int64_t> inputs = inputs_of(chosen);
  Runs runs(inputs_of_block(run));
  int64_t position = 0;
  const auto walk = [&](int64_t end) {
    for (int64_t input = position; input < end; ++input) runs[static_cast<size_t>(input)] += 1;
  };
  const auto end = static_cast<int64_t>(runs.size());
  if (run.sequential) {
    for (const auto& [input, cols] : inputs) {
      walk(input);
      if (cols <= run.kept.width) position = input;
    }
  } else if (!inputs.empty()) {
    walk(end - 1);
  }
  if (!last) walk(end);
  return runs;
}

// One block over `samples` samples.
Forward forward_of(const RunShape& run, int64_t samples, const Runs& runs) {
  const auto count = static_cast<double>(samples);
  const double tokens = count * static_cast<double>(run.seqlen);
  const double whole =
      std::accumulate(runs.begin(), runs.end(), 0.0) / static_cast<double>(runs.size());
  const models::ForwardCost cost = run.model.family->forward_cost(run.model.config, run.seqlen);
  Forward forward{.linear_flops = count * cost.product_flops * runs.front(),
                  .attention_flops = count * cost.attention_flops * runs.front(),
                  .written_bytes = count * cost.written * element_bytes(run.dtype) * whole};
  for (const LinearSpec& layer : run.model.linears) {
    forward.linear_flops +=
        linear_flops(layer.rows, layer.cols, tokens) * runs[static_cast<size_t>(layer.site)];
  }
  return forward;
}

double stream_bytes(const RunShape& run, int64_t samples) {
  return static_cast<double>(samples * run.seqlen * run.model.config.hidden_size) *
         element_bytes(run.dtype);
}

// The inputs that are kept while a block is pruned.
double kept_bytes(const RunShape& run) {
  return static_cast<double>(run.nsamples * run.seqlen * run.kept.width) * element_bytes(run.dtype);
}

double stored_bytes(const RunShape& run, double elements) {
  return elements * element_bytes(run.stored_dtype);
}

// What the output holds of a pruned layer.
double written_bytes(const RunShape& run, const LinearSpec& layer) {
  if (!run.packed) return stored_bytes(run, weights_of(layer));
  double size_bytes = 0.0;
  for (const checkpoint::TensorInfo& info : checkpoint::packed_infos(
           "", layer.rows, layer.cols, run.stored_dtype, run.solver.quantization)) {
    size_bytes += static_cast<double>(info.size_bytes);
  }
  return size_bytes;
}

// Sums up something of every pruned layer.
template <class Bytes>
double of_chosen(const RunShape& run, const Bytes& bytes) {
  double sum = 0.0;
  for (const std::vector<LinearSpec>& layers : run.chosen) {
    for (const LinearSpec& layer : layers) sum += bytes(layer);
  }
  return sum;
}

// What is copied from the input as it is.
double copied_bytes(const RunShape& run) {
  return input_bytes(run) -
         of_chosen(run, [&](const LinearSpec& l) { return stored_bytes(run, weights_of(l)); });
}

// Adds up the work of a phase by kind.
class PhaseWork {
 public:
  PhaseWork(const RunShape& run, const Rates& rates) : run_(&run), rates_(&rates) {}

  // The batch is copied back into the stream afterwards.
  void advance(int64_t samples, double times = 1) {
    forward(forward_of(*run_, samples, once(*run_)), times);
    elementwise(stream_bytes(*run_, samples) * times);
  }
  // Its layers run so often; the stream comes back once, and if inputs are kept, they do.
  void prune(const Runs& runs) {
    forward(forward_of(*run_, run_->nsamples, runs), 1);
    elementwise(stream_bytes(*run_, run_->nsamples));
    if (run_->sequential) elementwise(kept_bytes(*run_));
  }
  // The loss of every token: logits, these in float32, their log-softmax.
  void head(int64_t samples) {
    const int64_t vocabulary = run_->model.config.vocab_size;
    const auto tokens = static_cast<double>(samples * run_->seqlen);
    add("linear layers", linear_flops(vocabulary, run_->model.config.hidden_size, tokens),
        rates_->linear_flops);
    elementwise(tokens * static_cast<double>(vocabulary) * 2 * kFloatBytes);
  }
  void elementwise(double size_bytes) { add("elementwise", size_bytes, rates_->written_bytes); }
  void load(int64_t elements) {
    const double size_bytes = stored_bytes(*run_, static_cast<double>(elements));
    add("loading weights", size_bytes, rates_->loaded_bytes);
    reading_ += size_bytes;
  }
  void statistics(int64_t samples, const std::vector<LinearSpec>& chosen,
                  const std::vector<LinearSpec>& owned) {
    const double tokens = static_cast<double>(samples * run_->seqlen);
    for (const auto& [input, cols] : inputs_of(chosen)) {
      add("Hessians", hessian_flops(cols, tokens, run_->on_cuda), rates_->hessian_flops);
    }
    for (const auto& [input, cols] : inputs_of(owned)) {
      add("factors", factor_flops(cols), rates_->factor_flops);
    }
  }
  void add(const std::string& what, double amount, double per_s) {
    if (amount == 0.0) return;
    const auto found = std::ranges::find(work_, what, &Work::what);
    if (found == work_.end()) {
      work_.push_back({.what = what, .amount = amount, .per_s = per_s});
    } else {
      found->amount += amount;
    }
  }
  Phase finish(const std::string& name) {
    return {.name = name,
            .work = std::move(work_),
            .reading = {.what = "reading", .amount = reading_, .per_s = rates_->read_bytes}};
  }

 private:
  void forward(const Forward& forward, double times) {
    add("linear layers", forward.linear_flops * times, rates_->linear_flops);
    add("attention", forward.attention_flops * times, rates_->attention_flops);
    elementwise(forward.written_bytes * times);
  }

  const RunShape* run_;
  const Rates* rates_;
  std::vector<Work> work_;
  double reading_ = 0.0;
};

// Before and after: two of them.
Phase evaluate_phase(const RunShape& run, const Rates& rates) {
  PhaseWork work(run, rates);
  for (int pass = 0; pass < 2; ++pass) {
    work.load(run.model.parameters);
    work.advance(run.segments, static_cast<double>(run.model.config.blocks));
    work.head(run.segments);
  }
  return work.finish("evaluate");
}

Phase estimate_phase(const RunShape& run, const Rates& rates) {
  PhaseWork work(run, rates);
  const int64_t samples = run.estimate_nsamples;
  const double tokens = static_cast<double>(samples * run.seqlen);
  work.load(run.model.embedding_elements);
  for (size_t b = 0; b < run.chosen.size(); ++b) {
    work.load(run.model.block_elements);
    work.advance(samples);
    work.statistics(samples, run.chosen[b], run.owned[b]);
    for (const LinearSpec& layer : run.chosen[b]) {
      // The output without its bias, for the energy.
      if (layer.bias) {
        work.elementwise(tokens * static_cast<double>(layer.rows) * element_bytes(run.dtype));
      }
    }
    for (const LinearSpec& layer : run.owned[b]) {
      work.add("estimates", weights_of(layer), rates.estimated_weights);
    }
    // |x|² of every token, for the median.
    work.elementwise(stream_bytes(run, samples));
    work.add("records", kRecordsPerBlock, rates.synced_writes);
  }
  return work.finish("estimate");
}

// A block in the prune pass, and the solver for these of its layers.
void prune_block(const RunShape& run, size_t block, const std::vector<LinearSpec>& solved,
                 const Rates& rates, PhaseWork& work) {
  const std::vector<LinearSpec>& chosen = run.chosen[block];
  work.load(run.model.block_elements);
  work.prune(prune_runs(run, chosen, block + 1 == run.chosen.size()));
  work.statistics(run.nsamples, chosen, solved);
  const auto refine_steps = static_cast<double>(run.solver.refine);
  for (const LinearSpec& layer : solved) {
    work.add("solver", solver_flops(layer.rows, layer.cols), rates.solver_flops);
    const double product_flops = hessian_product_flops(layer.rows, layer.cols);
    const double weight_bytes = weights_of(layer) * kFloatBytes;
    work.add("refine", refine_steps * product_flops, rates.product_flops);
    work.elementwise(refine_steps * kRefineWrites * weight_bytes);
    if (run.solver.solver == solver::Algorithm::kAlps) {
      work.add("ALPS", kAlpsSteps * 2 * product_flops, rates.product_flops);
      work.elementwise(kAlpsSteps * kAlpsWrites * weight_bytes);
      work.add("eigenvectors", eigen_flops(layer.cols), rates.eigen_flops);
    }
  }
}

// The run that one trial of `auto` is: few samples, SparseGPT alone.
RunShape trial_of(const RunShape& run) {
  RunShape trial = run;
  trial.nsamples = run.trial_samples;
  trial.solver.solver = solver::Algorithm::kSparseGpt;
  trial.solver.refine = 0;
  return trial;
}

Phase score_phase(const RunShape& run, const Rates& rates) {
  const RunShape trial = trial_of(run);
  PhaseWork work(trial, rates);
  for (int64_t t = 0; t < run.trials; ++t) {
    work.load(run.model.embedding_elements);
    for (size_t b = 0; b < run.chosen.size(); ++b) {
      prune_block(trial, b, run.chosen[b], rates, work);
    }
    // As many samples follow to be measured.
    work.advance(trial.nsamples, static_cast<double>(run.model.config.blocks));
    work.head(trial.nsamples);
  }
  return work.finish("score");
}

Phase prune_phase(const RunShape& run, const Rates& rates) {
  PhaseWork work(run, rates);
  work.load(run.model.embedding_elements);
  for (size_t b = 0; b < run.chosen.size(); ++b) {
    const std::vector<LinearSpec>& waited_for = run.sequential ? run.chosen[b] : run.owned[b];
    prune_block(run, b, waited_for, rates, work);
    for (const LinearSpec& layer : waited_for) {
      work.add("writing", written_bytes(run, layer), rates.stored_bytes);
      work.add("records", kRecordsPerLayer, rates.synced_writes);
    }
  }
  return work.finish("prune");
}

Phase write_phase(const RunShape& run, const Rates& rates) {
  PhaseWork work(run, rates);
  work.add("writing", copied_bytes(run), rates.stored_bytes);
  return work.finish("write");
}

double square_bytes(int64_t cols) {
  return static_cast<double>(cols) * static_cast<double>(cols) * kFloatBytes;
}

// Collects the moments of one pass; of those of the same name the one that needs most is kept.
class PassMoments {
 public:
  PassMoments(const RunShape& run, std::string pass, int64_t samples)
      : run_(&run), pass_(std::move(pass)), samples_(samples) {}

  // From here on until the end of the pass.
  void hold(std::vector<Item> items) { held_ = std::move(items); }

  void add(const std::string& when, std::vector<std::vector<Item>> parts) {
    Moment moment{.when = pass_ + ": " + when, .items = states()};
    parts.push_back(held_);
    for (std::vector<Item>& part : parts) {
      std::ranges::move(part, std::back_inserter(moment.items));
    }
    const auto known = std::ranges::find(moments_, moment.when, &Moment::when);
    if (known == moments_.end()) {
      moments_.push_back(std::move(moment));
    } else if (total(moment) > total(*known)) {
      *known = std::move(moment);
    }
  }

  Item device(const std::string& what, double size_bytes) const {
    return {.what = what, .size_bytes = size_bytes, .on_device = run_->on_cuda};
  }
  // Mapped pages, which count as ours once they were read.
  Item mapped(const std::string& what, int64_t elements) const {
    return {.what = what + ", mapped",
            .size_bytes = stored_bytes(*run_, static_cast<double>(elements))};
  }
  std::vector<Item> kept_inputs() const {
    if (run_->kept.width == 0) return {};
    const double all = kept_bytes(*run_);
    const char* const what = "inputs of a block";
    switch (run_->kept.place) {
      case stream::StatesPlace::kDevice:
        return {device(what, all)};
      case stream::StatesPlace::kHost:
        return {{.what = what, .size_bytes = all}};
      case stream::StatesPlace::kFile:
        break;
    }
    return {};
  }
  // Those, and the copy in the computing dtype.
  std::vector<Item> weights(const std::string& what, int64_t elements) const {
    std::vector<Item> items = {mapped(what, elements)};
    if (run_->on_cuda || run_->stored_dtype != run_->dtype) {
      items.push_back(device(what, static_cast<double>(elements) * element_bytes(run_->dtype)));
    }
    return items;
  }
  std::vector<Item> block() const {
    return weights("weights of a block", run_->model.block_elements);
  }
  std::vector<Item> activations() const {
    models::ForwardCost cost = run_->model.family->forward_cost(run_->model.config, run_->seqlen);
    // The feed-forward's stream and its norm are where they are kept.
    if (!held_.empty() && run_->kept.place == stream::StatesPlace::kDevice) {
      cost.live -= static_cast<double>(2 * run_->seqlen * run_->model.config.hidden_size);
    }
    return {device("activations of a batch", cost.peak(batch()) * element_bytes(run_->dtype))};
  }
  // Something of `width` elements for each token of a batch.
  Item per_token(const std::string& what, double width, double bytes) const {
    return device(what, batch() * static_cast<double>(run_->seqlen) * width * bytes);
  }
  std::vector<Moment> finish() { return std::move(moments_); }

 private:
  static double total(const Moment& moment) { return moment.host_bytes() + moment.device_bytes(); }

  double batch() const {
    return static_cast<double>(
        std::min(samples_, stream::batch_samples(run_->seqlen, run_->on_cuda)));
  }

  std::vector<Item> states() const {
    const double all = stream_bytes(*run_, samples_);
    const Item one = device("a batch", batch() / static_cast<double>(samples_) * all);
    switch (run_->states_place) {
      case stream::StatesPlace::kDevice:
        return {device("hidden states", all)};
      case stream::StatesPlace::kHost:
        return {{.what = "hidden states", .size_bytes = all}, one};
      case stream::StatesPlace::kFile:
        return {one};
    }
    return {};
  }

  const RunShape* run_;
  std::string pass_;
  int64_t samples_;
  std::vector<Item> held_;
  std::vector<Moment> moments_;
};

void embedding_moment(const RunShape& run, PassMoments& pass) {
  // A batch's rows as they are found, and with the positions.
  const auto hidden = static_cast<double>(run.model.config.hidden_size);
  pass.add("embedding", {{pass.mapped("embeddings", run.model.embedding_elements),
                          pass.per_token("a batch", 2 * hidden, element_bytes(run.dtype))}});
}

// Logits, and in float32 their log-softmax.
void logits_moment(const RunShape& run, PassMoments& pass) {
  const double logits = std::min(kLogitsAtOnce, static_cast<double>(run.seqlen)) *
                        static_cast<double>(run.model.config.vocab_size);
  pass.add("logits", {pass.weights("head", run.model.head_elements),
                      {pass.device("logits", logits * (element_bytes(run.dtype) + kFloatBytes))}});
}

std::vector<Moment> evaluate_moments(const RunShape& run) {
  PassMoments pass(run, "evaluate", run.segments);
  embedding_moment(run, pass);
  pass.add("forward", {pass.block(), pass.activations()});
  logits_moment(run, pass);
  return pass.finish();
}

// What both passes do: Hessians of the inputs during the forward, then one factor after the other.
// `visit` gets a layer that is solved here, and what is held beside the states and the block's weights.
template <class Visit>
void statistics_moments(const RunShape& run, size_t block, const std::map<int64_t, int64_t>& inputs,
                        PassMoments& pass, const Visit& visit) {
  double hessians = 0.0;
  double widest = 0.0;
  for (const auto& [input, cols] : inputs) {
    hessians += square_bytes(cols);
    widest = std::max(widest, static_cast<double>(cols));
  }
  std::vector<Item> sums = {pass.device("Hessians", hessians)};
  if (run.dtype != at::kFloat) {
    sums.push_back(pass.per_token("an input in float32", widest, kFloatBytes));
  }
  if (run.by_onednn) {
    // The input is turned, too; in float32 that takes the place of what came before the activation.
    if (run.dtype != at::kFloat) {
      sums.push_back(pass.per_token("an input turned", widest, kFloatBytes));
    }
    const double rows = std::min(static_cast<double>(hessian::panel_rows(run.on_cuda)), widest);
    sums.push_back(pass.device("a panel of a Hessian", rows * widest * kFloatBytes));
  }
  pass.add("forward", {pass.block(), pass.activations(), sums});
  for (const auto& [input, cols] : inputs) {
    std::vector<LinearSpec> layers;
    std::ranges::copy_if(
        run.owned[block], std::back_inserter(layers),
        [number = input](const LinearSpec& layer) { return layer.site == number; });
    if (!layers.empty()) {
      // The reversed Hessian, in which it is factored; on the CPU it is turned back in place.
      const double squares = run.on_cuda ? 2 : 1;
      pass.add("factor", {pass.block(),
                          {pass.device("Hessians", hessians),
                           pass.device("factorisation", squares * square_bytes(cols))}});
    }
    hessians -= square_bytes(cols);
    for (const LinearSpec& layer : layers) {
      // The factor keeps its damped Hessian.
      visit(layer, std::vector<Item>{pass.device("Hessians", hessians),
                                     pass.device("factor", 2 * square_bytes(cols))});
    }
  }
}

std::vector<Moment> estimate_moments(const RunShape& run) {
  PassMoments pass(run, "estimate", run.estimate_nsamples);
  embedding_moment(run, pass);
  // The estimates, and the weight itself where it is not float32 already.
  const double bytes = run.dtype == at::kFloat ? kFloatBytes : 2 * kFloatBytes;
  for (size_t b = 0; b < run.chosen.size(); ++b) {
    const auto estimate = [&](const LinearSpec& layer, const std::vector<Item>& held) {
      pass.add("estimates",
               {pass.block(), held, {pass.device("estimates", weights_of(layer) * bytes)}});
    };
    statistics_moments(run, b, inputs_of(run.chosen[b]), pass, estimate);
  }
  return pass.finish();
}

// Of the prune pass, and of a trial's.
void prune_moments(const RunShape& run, PassMoments& pass) {
  embedding_moment(run, pass);
  if (run.sequential) pass.hold(pass.kept_inputs());
  const bool alps = run.solver.solver == solver::Algorithm::kAlps;
  double bytes = run.solver.refine > 0 ? kRefineBytes : kSparseGptBytes;
  const bool by_topk = run.on_cuda || run.solver.prunem != 0;
  if (alps) {
    bytes = std::max(bytes, kAlpsBytes + (by_topk ? kAlpsBytesPerZero * run.solver.sparsity : 0.0));
  }
  for (size_t b = 0; b < run.chosen.size(); ++b) {
    const auto solve = [&](const LinearSpec& layer, const std::vector<Item>& held) {
      // The search holds the Hessian's eigenvectors, by rows and by columns.
      const double eigenvectors = alps ? 2 * square_bytes(layer.cols) : 0.0;
      // V's diagonal block and its inverse in float64, the inverse in float32, and the columns at hand.
      const auto columns = static_cast<double>(std::min(run.solver.blocksize, layer.cols));
      const double column_block =
          columns * (28 * columns + kFloatBytes * static_cast<double>(layer.rows));
      pass.add("solver",
               {pass.block(),
                held,
                {pass.device("solver", weights_of(layer) * bytes + eigenvectors + column_block)}});
      if (alps) {
        // Both weights; the scaled Hessian, its eigenvectors, and twice that for LAPACK.
        pass.add("eigendecomposition", {pass.block(),
                                        held,
                                        {pass.device("solver", weights_of(layer) * 2 * kFloatBytes +
                                                                   4 * square_bytes(layer.cols))}});
      }
    };
    const std::map<int64_t, int64_t> inputs = inputs_of(run.chosen[b]);
    if (run.sequential) {
      for (const auto& input : inputs) statistics_moments(run, b, {input}, pass, solve);
    } else {
      statistics_moments(run, b, inputs, pass, solve);
    }
  }
}

std::vector<Moment> prune_moments(const RunShape& run) {
  PassMoments pass(run, "prune", run.nsamples);
  prune_moments(run, pass);
  return pass.finish();
}

// A rank scores whole candidates alone.
std::vector<Moment> score_moments(const RunShape& run) {
  RunShape trial = trial_of(run);
  trial.owned = trial.chosen;
  PassMoments pass(trial, "score", 2 * trial.nsamples);
  prune_moments(trial, pass);
  pass.hold({});
  logits_moment(trial, pass);
  return pass.finish();
}

double sum(const std::vector<Item>& items, bool on_device) {
  double size_bytes = 0.0;
  for (const Item& item : items) size_bytes += item.on_device == on_device ? item.size_bytes : 0.0;
  return size_bytes;
}

}  // namespace

double linear_flops(int64_t rows, int64_t cols, double tokens) {
  return 2 * tokens * static_cast<double>(rows) * static_cast<double>(cols);
}

double hessian_flops(int64_t cols, double tokens, bool on_cuda) {
  return 2 * tokens * panel_elements(cols, on_cuda);
}

double factor_flops(int64_t cols) {
  const auto n = static_cast<double>(cols);
  return n * n * n / 3;
}

double eigen_flops(int64_t cols) {
  const auto n = static_cast<double>(cols);
  return 9 * n * n * n;
}

double hessian_product_flops(int64_t rows, int64_t cols) {
  return linear_flops(rows, cols, static_cast<double>(cols));
}

double solver_flops(int64_t rows, int64_t cols) {
  return static_cast<double>(rows) * static_cast<double>(cols) *
         (static_cast<double>(cols) + kLoopColumns);
}

double Phase::elapsed_s() const {
  double work_s = 0.0;
  for (const Work& part : work) work_s += part.elapsed_s();
  return std::max(work_s, reading.elapsed_s());
}

std::vector<Phase> phases(const RunShape& run, const Rates& rates) {
  std::vector<Phase> result;
  if (run.segments > 0) result.push_back(evaluate_phase(run, rates));
  if (run.estimates) result.push_back(estimate_phase(run, rates));
  if (run.trials > 0) result.push_back(score_phase(run, rates));
  result.push_back(prune_phase(run, rates));
  result.push_back(write_phase(run, rates));
  return result;
}

double Moment::host_bytes() const { return sum(items, false); }
double Moment::device_bytes() const { return sum(items, true); }

std::vector<Moment> moments(const RunShape& run) {
  std::vector<Moment> result;
  const auto append = [&](std::vector<Moment> more) {
    std::ranges::move(more, std::back_inserter(result));
  };
  if (run.segments > 0) append(evaluate_moments(run));
  if (run.estimates) append(estimate_moments(run));
  if (run.trials > 0) append(score_moments(run));
  append(prune_moments(run));
  return result;
}

std::map<int64_t, int64_t> input_owners(const std::vector<LinearSpec>& layers, int64_t world_size) {
  std::map<int64_t, std::vector<LinearSpec>> by_input;
  for (const LinearSpec& layer : layers) by_input[layer.site].push_back(layer);
  std::vector<std::vector<LinearSpec>> jobs;
  for (auto& [input, readers] : by_input) jobs.push_back(std::move(readers));
  std::ranges::stable_sort(jobs, std::greater<>(), solver_flops_of);
  std::vector<double> busy(static_cast<size_t>(world_size));
  std::map<int64_t, int64_t> owners;
  for (const std::vector<LinearSpec>& job : jobs) {
    const auto owner = std::ranges::min_element(busy) - busy.begin();
    busy[static_cast<size_t>(owner)] += solver_flops_of(job);
    owners[job.front().site] = owner;
  }
  const auto busiest = std::ranges::max_element(busy) - busy.begin();
  for (auto& [input, owner] : owners) {
    if (owner == 0 || owner == busiest) owner = busiest - owner;
  }
  return owners;
}

std::vector<RankShare> split(const RunShape& run, int64_t world_size) {
  // Part `rank` of `count` things dealt out evenly, the first ranks getting the rest.
  const auto part = [world_size](int64_t count, int64_t rank) {
    return count / world_size + (rank < count % world_size ? 1 : 0);
  };
  std::vector<RankShare> shares(static_cast<size_t>(world_size));
  for (int64_t rank = 0; rank < world_size; ++rank) {
    RankShare& share = shares[static_cast<size_t>(rank)];
    share.rank = rank;
    share.run = run;
    share.run.nsamples = part(run.nsamples, rank);
    share.run.estimate_nsamples = part(run.estimate_nsamples, rank);
    share.run.segments = part(run.segments, rank);
    share.run.trials = part(run.trials, rank);
    for (std::vector<LinearSpec>& layers : share.run.owned) layers.clear();
    const auto add_forward = [&](int64_t samples, const Runs& runs) {
      const Forward forward = forward_of(run, samples, runs);
      share.forward_flops += forward.linear_flops + forward.attention_flops;
    };
    for (size_t b = 0; b < run.chosen.size(); ++b) {
      if (run.estimates) add_forward(share.run.estimate_nsamples, once(run));
      add_forward(share.run.nsamples, prune_runs(run, run.chosen[b], b + 1 == run.chosen.size()));
    }
  }
  const double statistics = run.estimates ? 2 : 1;
  for (size_t b = 0; b < run.chosen.size(); ++b) {
    const std::map<int64_t, int64_t> owners = input_owners(run.chosen[b], world_size);
    for (const LinearSpec& layer : run.chosen[b]) {
      shares[static_cast<size_t>(owners.at(layer.site))].run.owned[b].push_back(layer);
    }
    for (RankShare& share : shares) {
      const int64_t samples =
          share.run.nsamples + (run.estimates ? share.run.estimate_nsamples : 0);
      const double tokens = static_cast<double>(samples * run.seqlen);
      for (const auto& [input, cols] : inputs_of(run.chosen[b])) {
        share.hessian_flops += hessian_flops(cols, tokens, run.on_cuda);
        if (owners.at(input) != share.rank) {
          share.sent_hessian_bytes += statistics * panel_bytes(cols, run.on_cuda);
        }
      }
      for (const auto& [input, cols] : inputs_of(share.run.owned[b])) {
        share.solver_flops += statistics * factor_flops(cols);
      }
      for (const LinearSpec& layer : share.run.owned[b]) {
        share.solver_flops += solver_flops(layer.rows, layer.cols);
      }
    }
  }
  return shares;
}

Exchange exchange(const RunShape& run, int64_t block) {
  Exchange result;
  const std::vector<LinearSpec>& layers = run.chosen[static_cast<size_t>(block)];
  for (const auto& [input, cols] : inputs_of(layers)) {
    result.hessian_bytes += panel_bytes(cols, run.on_cuda);
  }
  for (const LinearSpec& layer : layers) {
    result.weight_bytes += weights_of(layer) * element_bytes(run.stored_dtype);
  }
  return result;
}

double input_bytes(const RunShape& run) {
  return stored_bytes(run, static_cast<double>(run.model.parameters));
}

double output_bytes(const RunShape& run) {
  return copied_bytes(run) +
         of_chosen(run, [&](const LinearSpec& layer) { return written_bytes(run, layer); });
}

double states_bytes(const RunShape& run) { return stream_bytes(run, run.nsamples); }

}  // namespace prune::plan
