#include "recover_pass.h"

#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/kill_point.h>
#include <prune/core/stopwatch.h>
#include <prune/journal/layer_writer.h>
#include <prune/recovery/distiller.h>
#include <prune/recovery/timetable.h>
#include <prune/stream/walk.h>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>
#include <set>

namespace prune::pipeline {
namespace {

using Samples = std::vector<int64_t>;

// float16 has too small a range for gradients.
at::ScalarType dtype_of_products(const ModelChoice& choice, at::Device device) {
  if (choice.dtype == "float32") return at::kFloat;
  return choice.dtype == "bfloat16" ? at::kBFloat16 : recovery::training_dtype(device);
}

/// The residual streams of the samples that this rank needs, by the samples' numbers in the calibration set.
class OwnStreams {
 public:
  OwnStreams(const Run& run, const models::Embedding& embedding, const Samples& samples) {
    for (size_t row = 0; row < samples.size(); ++row) {
      rows_[samples[row]] = static_cast<int64_t>(row);
    }
    if (samples.empty()) return;
    const Tensor ids = run.inputs.calibration.ids.index_select(0, at::tensor(samples, at::kLong));
    hidden_.emplace(stream::HiddenStates::embed(embedding, ids, run.journal.scratch()));
  }

  void advance(const models::Block& block) {
    if (hidden_) hidden_->advance(block);
  }

  /// [samples, seqlen, stream_size]; undefined for no samples: a rank may have none.
  Tensor of(const Samples& samples) const {
    std::vector<Tensor> parts;
    for (const int64_t sample : samples) parts.push_back(hidden_->sample(rows_.at(sample)));
    return parts.empty() ? Tensor() : at::cat(parts);
  }

 private:
  std::map<int64_t, int64_t> rows_;
  std::optional<stream::HiddenStates> hidden_;
};

/// Trains a student by a timetable and records what it has learnt.
class Recovery {
 public:
  Recovery(const Run& run, const models::Model& teacher, const models::Model& student)
      : run_(run),
        options_(run.options.recovery),
        timetable_(options_, run.inputs.calibration.samples(), run.options.seed),
        teacher_(teacher),
        student_(student, run.inputs.chosen, run.journal.scratch()),
        embedding_(student.load_embedding()),
        teacher_head_(teacher.load_head()),
        student_head_(student.load_head()),
        distiller_(student_, {*embedding_, *teacher_head_, *student_head_}, run.journal.scratch(),
                   [&run](Tensor& sum) { run.comm.sum_(sum, dist::Traffic::kOther); }),
        held_out_(run, *teacher.load_embedding(), share_of(timetable_.held_out())) {
    if (const auto& recorded = run.journal.recovery()) progress_ = *recorded;
  }

  void train() {
    if (run_.comm.size() > options_.batch) {
      spdlog::info(
          "recovery: a step has {} samples, so only as many of the {} ranks compute at a time",
          options_.batch, run_.comm.size());
    }
    if (measured() < last_step()) {
      for (stream::LoadedBlock& block : dense_blocks("dense model")) held_out_.advance(*block);
      if (progress_.held_out.empty()) begin();
      if (measured() > 0) run_.journal.restore_(student_, measured());
      OwnStreams dense(run_, *teacher_.load_embedding(), needed());
      if (measured() < steps_of_blocks()) {
        train_blocks(dense);
      } else {
        for (stream::LoadedBlock& block : dense_blocks("dense model")) dense.advance(*block);
      }
      if (options_.trains_model()) train_model(dense);
    }
    finish();
  }

 private:
  stream::Walk dense_blocks(const std::string& phase) const {
    return {teacher_, phase, run_.progress};
  }

  // Steps of the blocks come before those of the model, and each of them is taken in every block.
  int64_t steps_of_blocks() const { return options_.trains_blocks() ? options_.steps : 0; }
  int64_t last_step() const {
    return steps_of_blocks() + (options_.trains_model() ? options_.steps : 0);
  }
  int64_t measured() const {
    return progress_.held_out.empty() ? 0 : progress_.held_out.back().step;
  }

  Samples share_of(const Samples& samples) const {
    Samples mine;
    for (auto i = static_cast<size_t>(run_.comm.rank()); i < samples.size();
         i += static_cast<size_t>(run_.comm.size())) {
      mine.push_back(samples[i]);
    }
    return mine;
  }
  // This rank's samples of all steps.
  Samples needed() const {
    std::set<int64_t> samples;
    for (int64_t number = 1; number <= options_.steps; ++number) {
      for (const int64_t sample : share_of(timetable_.batch(number))) samples.insert(sample);
    }
    return {samples.begin(), samples.end()};
  }
  Tensor ids_of(const Samples& samples) const {
    return run_.inputs.calibration.ids.index_select(0, at::tensor(samples, at::kLong));
  }
  int64_t tokens_of(const Samples& samples) const {
    return std::ssize(samples) * run_.inputs.calibration.seqlen();
  }
  // @param sum over this rank's share of these samples
  double mean_over_tokens(double sum, const Samples& samples) const {
    const Tensor sums = run_.comm.gather(at::full({1}, sum, at::kDouble));
    return sums.sum().item<double>() / static_cast<double>(tokens_of(samples));
  }

  void begin() {
    progress_ = {.teacher = teacher_of(run_.options).id,
                 .scope = recovery::scope_name(options_.scope),
                 .steps = options_.steps,
                 .batch = options_.batch,
                 .dtype = dtype_name(student_.dtype()),
                 .trained_samples = timetable_.trained(),
                 .held_out_samples = std::ssize(timetable_.held_out())};
    measure(0);
    const double loss = progress_.held_out.front().loss;
    progress_.rate =
        options_.rate > 0.0 ? options_.rate : recovery::default_rate(loss, student_.kept_share());
  }

  recovery::AdamStep step(int64_t number) const {
    return {.number = number, .rate = progress_.rate * timetable_.share_of_rate(number)};
  }

  void measure(int64_t step) {
    const Samples all = timetable_.held_out();
    const Samples mine = share_of(all);
    const double loss = distiller_.loss(ids_of(mine), held_out_.of(mine));
    progress_.held_out.push_back({.step = step, .loss = mean_over_tokens(loss, all)});
    progress_.elapsed_s += watch_.lap_s();
  }

  void train_blocks(OwnStreams& dense) {
    OwnStreams pruned(run_, *embedding_, needed());
    for (stream::LoadedBlock& block : dense_blocks("recover")) {
      dense.advance(*block);
      if (block.number < std::ssize(progress_.blocks)) {
        run_.journal.restore_block_(student_, block.number);
      } else {
        train_block(block.number, pruned, dense);
      }
      pruned.advance(student_.block(block.number));
    }
    student_.restart();
    measure(options_.steps);
    run_.journal.record_recovery(progress_, student_);
  }

  void train_block(int64_t block, const OwnStreams& pruned, const OwnStreams& dense) {
    report::RecoveryReport::BlockErrors errors;
    for (int64_t number = 1; number <= options_.steps; ++number) {
      throw_if_interrupted();
      const Samples batch = timetable_.batch(number);
      const Samples mine = share_of(batch);
      const double error = distiller_.block_step_(block, pruned.of(mine), dense.of(mine),
                                                  tokens_of(batch), step(number));
      errors.after = mean_over_tokens(error, batch);
      if (number == 1) errors.before = errors.after;
    }
    progress_.blocks.push_back(errors);
    run_.progress.detail(fmt::format("error {:.4f} -> {:.4f}", errors.before, errors.after));
    run_.journal.record_recovered_block(progress_, student_);
    kill_point("after a block has recovered");
  }

  void train_model(const OwnStreams& dense) {
    run_.progress.begin("recover", options_.steps);
    for (size_t done = 0; done < progress_.losses.size(); ++done) run_.progress.advance();
    while (std::ssize(progress_.losses) < options_.steps) {
      const int64_t number = std::ssize(progress_.losses) + 1;
      run_.comm.enter(fmt::format("recovery step {}/{}", number, options_.steps));
      const Samples batch = timetable_.batch(number);
      const Samples mine = share_of(batch);
      const double loss =
          distiller_.step_(ids_of(mine), dense.of(mine), tokens_of(batch), step(number));
      progress_.losses.push_back(mean_over_tokens(loss, batch));
      if (timetable_.measures_after(number)) {
        measure(steps_of_blocks() + number);
        run_.journal.record_recovery(progress_, student_);
      }
      run_.progress.detail(fmt::format("loss {:.3f}", progress_.losses.back()));
      run_.progress.advance();
      kill_point("after a recovery step");
    }
  }

  void finish() {
    const report::RecoveryReport::HeldOut& best = progress_.best();
    const double before = progress_.held_out.front().loss;
    spdlog::info("recovery: held-out loss {:.4f} -> {:.4f}", before, best.loss);
    if (best.step == 0) {
      run_.journal.add_fallback(
          {.where = "recovery",
           .what = fmt::format("no step made the held-out loss of {:.4f} better; the weights stay "
                               "as they were pruned",
                               before)});
      return;
    }
    run_.journal.restore_(student_, best.step);
    write();
  }

  void write() {
    if (!run_.journal.writes()) return;
    std::map<std::string, report::LayerReport> reports;
    for (const report::LayerReport& layer : run_.journal.report().layers) {
      reports[layer.name] = layer;
    }
    journal::LayerWriter writer(run_.journal);
    for (int64_t block = 0; block < student_.blocks(); ++block) {
      for (const recovery::Student::TrainedLayer& layer : student_.trained(block)) {
        solver::StoredResult stored;
        try {
          stored.stored = to_host(solver::round_to(run_.inputs.model.stored_dtype(layer.name),
                                                   layer.kept.weight(at::kFloat)));
        } catch (Error& error) {
          throw error.in(layer.name);
        }
        report::LayerReport report = reports.at(layer.name);
        stored.zeros = stored.stored.numel() - stored.stored.count_nonzero().item<int64_t>();
        report.zeros = stored.zeros;
        writer.add(std::move(stored), std::move(report));
      }
    }
    writer.finish();
  }

  const Run& run_;
  const recovery::RecoveryOptions& options_;
  recovery::Timetable timetable_;
  const models::Model& teacher_;
  recovery::Student student_;
  std::unique_ptr<models::Embedding> embedding_;
  std::unique_ptr<models::Head> teacher_head_;
  std::unique_ptr<models::Head> student_head_;
  recovery::Distiller distiller_;
  OwnStreams held_out_;  // the dense model's
  report::RecoveryReport progress_;
  Stopwatch watch_;
};

}  // namespace

void recover_pass(const Run& run) {
  const at::Device device = run.inputs.model.device();
  const models::ModelOptions options = {.device = device,
                                        .dtype = dtype_of_products(run.options.model, device)};
  const models::Model teacher = models::Model::open(teacher_of(run.options).folder, options);
  const models::Model student = models::Model::open(run.journal.scratch(), options);
  Recovery recovery(run, teacher, student);
  recovery.train();
}

}  // namespace prune::pipeline
