#include "recover_pass.h"

#include <prune/core/error.h>
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

/// The numbers of a set of samples that this rank works on.
std::vector<int64_t> share_of(const std::vector<int64_t>& samples, const dist::Communicator& comm) {
  std::vector<int64_t> mine;
  for (auto i = static_cast<size_t>(comm.rank()); i < samples.size();
       i += static_cast<size_t>(comm.size())) {
    mine.push_back(samples[i]);
  }
  return mine;
}

models::Model open_in(const std::filesystem::path& folder, at::Device device) {
  return models::Model::open(folder, {.device = device, .dtype = recovery::training_dtype(device)});
}

/// The dense model's hidden states after its last block, of the samples that this rank will need.
class Teacher {
 public:
  Teacher(const Run& run, const models::Model& model, const std::set<int64_t>& samples)
      : hidden_(embed(run, model, {samples.begin(), samples.end()})) {
    int64_t row = 0;
    for (const int64_t sample : samples) rows_[sample] = row++;
    for (stream::LoadedBlock& block : stream::Walk(model, "dense model", run.progress)) {
      hidden_.advance(*block);
    }
  }

  /// [samples, seqlen, hidden_size]
  Tensor of(const std::vector<int64_t>& samples) const {
    std::vector<Tensor> parts;
    for (const int64_t sample : samples) parts.push_back(hidden_.sample(rows_.at(sample)));
    return at::cat(parts);
  }

 private:
  static stream::HiddenStates embed(const Run& run, const models::Model& model,
                                    const std::vector<int64_t>& samples) {
    return stream::HiddenStates::embed(
        *model.load_embedding(),
        run.inputs.calibration.ids.index_select(0, at::tensor(samples, at::kLong)),
        run.journal.scratch());
  }

  stream::HiddenStates hidden_;
  std::map<int64_t, int64_t> rows_;
};

/// Trains a student by a timetable and records what it has learnt.
class Recovery {
 public:
  Recovery(const Run& run, const models::Model& teacher, const models::Model& student)
      : run_(run),
        timetable_(run.options.recovery, run.inputs.calibration.samples(), run.options.seed),
        student_(student, run.inputs.chosen, run.journal.scratch()),
        embedding_(student.load_embedding()),
        teacher_head_(teacher.load_head()),
        student_head_(student.load_head()),
        distiller_(student_, {*embedding_, *teacher_head_, *student_head_}, run.journal.scratch(),
                   [this](Tensor& gradient) { run_.comm.sum_(gradient, dist::Traffic::kOther); }),
        teacher_(&teacher) {}

  void train() {
    const recovery::RecoveryOptions& options = run_.options.recovery;
    report::RecoveryReport progress;
    if (const auto& recorded = run_.journal.recovery()) progress = *recorded;
    const std::set<int64_t> samples = needed();
    if (progress.done() < options.steps && !samples.empty()) {
      hidden_.emplace(run_, *teacher_, samples);
    }
    begin(progress);
    run_.progress.begin("recover", options.steps);
    for (int64_t done = 0; done < progress.done(); ++done) run_.progress.advance();
    Stopwatch watch;
    while (progress.done() < options.steps) {
      const int64_t number = progress.done() + 1;
      const double loss = step(number);
      progress.losses.push_back(loss);
      if (timetable_.measures_after(number)) {
        progress.held_out.push_back({.step = number, .loss = held_out_loss()});
        progress.elapsed_s += watch.elapsed_s();
        watch = Stopwatch();
        run_.journal.record_recovery(progress, student_);
      }
      run_.progress.detail(fmt::format("loss {:.3f}", loss));
      run_.progress.advance();
      kill_point("after a recovery step");
    }
    const report::RecoveryReport::HeldOut& best = progress.best();
    spdlog::info("recovery: held-out loss {:.4f} -> {:.4f} after {} steps of {} samples",
                 progress.held_out.front().loss, best.loss, best.step, options.batch);
    hidden_.reset();
    if (best.step == 0) {
      run_.journal.add_fallback({.where = "recovery",
                                 .what = fmt::format("no step made the held-out loss better than "
                                                     "{:.4f}; the weights stay as they were pruned",
                                                     best.loss)});
      return;
    }
    if (best.step != options.steps) run_.journal.restore_(student_, best.step);
    write();
  }

 private:
  void write() {
    std::map<std::string, report::LayerReport> reports;
    for (const report::LayerReport& layer : run_.journal.report().layers) {
      reports[layer.name] = layer;
    }
    journal::LayerWriter writer(run_.journal);
    for (int64_t block = 0; block < student_.blocks(); ++block) {
      for (const recovery::Student::TrainedLayer& layer : student_.trained(block)) {
        if (!run_.journal.writes()) continue;
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

  std::set<int64_t> needed() const {
    std::set<int64_t> samples;
    const auto add = [&](const std::vector<int64_t>& of_all) {
      for (const int64_t sample : share_of(of_all, run_.comm)) samples.insert(sample);
    };
    for (int64_t number = 1; number <= run_.options.recovery.steps; ++number) {
      add(timetable_.batch(number));
    }
    add(held_out());
    return samples;
  }

  std::vector<int64_t> held_out() const {
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < timetable_.held_out(); ++i) {
      samples.push_back(timetable_.trained() + i);
    }
    return samples;
  }

  Tensor ids_of(const std::vector<int64_t>& samples) const {
    return run_.inputs.calibration.ids.index_select(0, at::tensor(samples, at::kLong));
  }

  // Undefined for no samples: a rank may have none.
  Tensor dense_hidden(const std::vector<int64_t>& samples) const {
    return samples.empty() ? Tensor() : hidden_->of(samples);
  }

  double mean_over_ranks(double sum, size_t samples) const {
    const Tensor sums = run_.comm.gather(at::full({1}, sum, at::kDouble));
    return sums.sum().item<double>() / static_cast<double>(tokens_of(samples));
  }
  int64_t tokens_of(size_t samples) const {
    return static_cast<int64_t>(samples) * run_.inputs.calibration.seqlen();
  }

  double step(int64_t number) {
    run_.comm.enter(fmt::format("recovery step {}/{}", number, run_.options.recovery.steps));
    const std::vector<int64_t> batch = timetable_.batch(number);
    const std::vector<int64_t> mine = share_of(batch, run_.comm);
    const double loss = distiller_.step_(ids_of(mine), dense_hidden(mine), tokens_of(batch.size()),
                                         {.number = number, .rate = timetable_.rate(number)});
    return mean_over_ranks(loss, batch.size());
  }

  double held_out_loss() {
    const std::vector<int64_t> all = held_out();
    const std::vector<int64_t> mine = share_of(all, run_.comm);
    return mean_over_ranks(distiller_.loss(ids_of(mine), dense_hidden(mine)), all.size());
  }

  // Continues from the recorded progress; at the start it is the loss before the first step.
  void begin(report::RecoveryReport& progress) {
    if (progress.done() > 0) {
      run_.journal.restore_(student_, progress.done());
      return;
    }
    const recovery::RecoveryOptions& options = run_.options.recovery;
    progress = {.teacher = teacher_of(run_.options).id,
                .steps = options.steps,
                .batch = options.batch,
                .rate = options.rate,
                .dtype = dtype_name(student_.dtype()),
                .trained_samples = timetable_.trained(),
                .held_out_samples = timetable_.held_out()};
    const Stopwatch watch;
    progress.held_out.push_back({.step = 0, .loss = held_out_loss()});
    progress.elapsed_s = watch.elapsed_s();
  }

  const Run& run_;
  recovery::Timetable timetable_;
  recovery::Student student_;
  std::unique_ptr<models::Embedding> embedding_;
  std::unique_ptr<models::Head> teacher_head_;
  std::unique_ptr<models::Head> student_head_;
  recovery::Distiller distiller_;
  const models::Model* teacher_;
  std::optional<Teacher> hidden_;  // while there are steps to do, where this rank has samples
};

}  // namespace

void recover_pass(const Run& run) {
  const at::Device device = run.inputs.model.device();
  const models::Model teacher = open_in(teacher_of(run.options).folder, device);
  const models::Model student = open_in(run.journal.scratch(), device);
  Recovery recovery(run, teacher, student);
  recovery.train();
}

}  // namespace prune::pipeline
