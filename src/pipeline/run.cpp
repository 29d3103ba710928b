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

Tensor shared_weight(const Tensor& mine, at::IntArrayRef shape, at::ScalarType dtype, int64_t owner,
                     at::Device device, dist::Communicator& comm) {
  const bool owned = owner == comm.rank();
  Tensor sent =
      owned ? mine.to(device).contiguous() : at::empty(shape, at::dtype(dtype).device(device));
  comm.broadcast_(sent, owner, dist::Traffic::kWeights);
  return owned ? mine : sent.cpu();
}

stream::HiddenStates embed_share(const journal::RunInputs& inputs, const PruneOptions& options,
                                 const dist::SampleSplit& split, int64_t rank,
                                 const std::filesystem::path& scratch) {
  const models::Model& model = inputs.model;
  const dist::Range mine = split.samples_of(rank);
  stream::HiddenStates hidden = stream::HiddenStates::embed(
      *model.load_embedding(), inputs.calibration.ids.slice(0, mine.begin, mine.end), scratch,
      samples_at_once(options.deterministic));
  model.drop_ends();
  return hidden;
}

}  // namespace prune::pipeline
