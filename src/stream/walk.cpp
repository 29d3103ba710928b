#include <prune/core/interrupt.h>
#include <prune/stream/walk.h>

namespace prune::stream {

Walk::Walk(const models::Model& model, const std::string& phase, Progress& progress,
           models::ExpertWeights experts)
    : model_(&model), progress_(&progress), experts_(experts) {
  progress.begin(phase, model.config().blocks);
}

Walk::Iterator::Iterator(const Walk& walk) : walk_(&walk) { load(0); }

Walk::Iterator& Walk::Iterator::operator++() {
  current_.block.reset();
  walk_->model_->drop_block(current_.number);
  walk_->progress_->advance();
  if (!current_.last) load(current_.number + 1);
  return *this;
}

void Walk::Iterator::load(int64_t number) {
  throw_if_interrupted();
  const models::Model& model = *walk_->model_;
  model.prefetch_block(number + 1);
  current_ = {.number = number,
              .last = number + 1 == model.config().blocks,
              .block = model.load_block(number, walk_->experts_)};
}

}  // namespace prune::stream
