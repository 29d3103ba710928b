#include "run.h"

#include <algorithm>

#include "inputs.h"

namespace prune::pipeline {

void RankProgress::begin(const std::string& phase, int64_t steps) {
  phase_ = phase;
  step_ = 1;
  steps_ = steps;
  name_step();
  shown_->begin(phase, steps);
}

void RankProgress::advance() {
  step_ = std::min(step_ + 1, steps_);
  name_step();
  shown_->advance();
}

void RankProgress::name_step() {
  comm_->enter(fmt::format("{} block {}/{}", phase_, step_, steps_));
}

std::string damp_text(int64_t damp_raises, double damp) {
  return fmt::format("damp raised {} times to {:.3e} for the factorisation", damp_raises, damp);
}

stream::HiddenStates embed_share(const Run& run, const dist::SampleSplit& split) {
  const models::Model& model = run.inputs.model;
  const dist::Range mine = split.samples_of(run.comm.rank());
  stream::HiddenStates hidden = stream::HiddenStates::embed(
      *model.load_embedding(), run.inputs.calibration.ids.slice(0, mine.begin, mine.end),
      run.journal.scratch(), samples_at_once(run.options.deterministic));
  model.drop_ends();
  return hidden;
}

}  // namespace prune::pipeline
