#include <prune/core/interrupt.h>
#include <prune/generation/generator.h>
#include <prune/kernels/packed_weight.h>

namespace prune::generation {

Generator::Generator(const models::Model& model)
    : embedding_(model.load_embedding()),
      head_(model.load_head()),
      caches_(static_cast<size_t>(model.config().blocks)) {
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    throw_if_interrupted();
    blocks_.push_back(model.load_block(block));
    const auto& rope = model.shape().block(block).attention.rope;
    if (rope && rope->type == models::RopeType::kLongRope) {
      short_positions_ = rope->original_max_positions;
    }
  }
}

std::vector<MatrixUse> Generator::matrices() const {
  std::vector<MatrixUse> result;
  const auto add = [&](const models::Linear& linear) {
    if (linear.packed) {
      result.push_back({.form = linear.packed->form(),
                        .elements = linear.packed->rows() * linear.packed->cols(),
                        .size_bytes = linear.packed->size_bytes()});
    } else {
      result.push_back({.form = std::string(dtype_name(linear.weight.scalar_type())),
                        .elements = linear.weight.numel(),
                        .size_bytes = static_cast<int64_t>(linear.weight.nbytes())});
    }
  };
  for (const auto& block : blocks_) {
    for (const models::Linear& linear : std::as_const(*block).linears()) add(linear);
  }
  add(head_->matrix());
  return result;
}

void Generator::restart() {
  caches_.assign(caches_.size(), {});
  text_.clear();
}

Tensor Generator::read(const std::vector<int64_t>& ids) {
  const at::InferenceMode without_gradients;
  Tensor hidden;
  if (short_positions_ == 0) {
    hidden = hidden_behind(ids);
  } else {
    text_.insert(text_.end(), ids.begin(), ids.end());
    const bool grows_long = length() <= short_positions_ && std::ssize(text_) > short_positions_;
    if (grows_long) caches_.assign(caches_.size(), {});
    hidden = hidden_behind(grows_long ? text_ : ids);
  }
  return head_->logits(hidden.select(1, -1)).squeeze(0);
}

// The stream after the last block.
Tensor Generator::hidden_behind(const std::vector<int64_t>& ids) {
  Tensor hidden = embedding_->embed(at::tensor(ids, at::kLong).unsqueeze(0), length());
  for (size_t block = 0; block < blocks_.size(); ++block) {
    throw_if_interrupted();
    hidden = blocks_[block]->extend(hidden, caches_[block]);
  }
  return hidden;
}

}  // namespace prune::generation
