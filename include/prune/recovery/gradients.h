#pragma once

#include <prune/models/ends.h>

#include <functional>
#include <vector>

namespace prune::recovery {

/// The derivatives of a loss with respect to a block's input and some of its weights.
struct BlockGradients {
  Tensor input;                 ///< [samples, seqlen, stream_size]; undefined unless asked for
  std::vector<Tensor> weights;  ///< [rows, cols] of each layer asked for, in the block's dtype
};

/// Runs the block and goes back through it.
/// @param hidden          [samples, seqlen, stream_size], what the block reads
/// @param output_gradient gives the derivative by the block's output, same shape, which it gets
/// @param layers          indices into Block::linears()
BlockGradients block_gradients(models::Block& block, const Tensor& hidden,
                               const std::function<Tensor(const Tensor&)>& output_gradient,
                               const std::vector<size_t>& layers, bool with_input);

/// A loss summed over tokens and its derivative.
struct LossGradient {
  double loss = 0.0;
  Tensor hidden;  ///< as the student's hidden states
};

/// KL(teacher ‖ student) of the next token's distributions, in nats, summed over all tokens (Hinton et al. 2015,
/// arXiv 1503.02531, at temperature 1). Holds the logits of a few tokens at a time.
/// @param teacher_hidden, student_hidden [..., stream_size] after the last block
/// @param scale multiplies the derivative only
LossGradient distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                               const models::Head& student, const Tensor& student_hidden,
                               double scale);
/// The loss alone.
double distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                         const models::Head& student, const Tensor& student_hidden);

}  // namespace prune::recovery
