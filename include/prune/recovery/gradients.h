#pragma once

#include <prune/models/ends.h>

#include <vector>

namespace prune::recovery {

/// The derivatives of a block's output with respect to its input and some weights, times `output_gradient`.
struct BlockGradients {
  Tensor input;                 ///< [samples, seqlen, hidden_size]; undefined unless asked for
  std::vector<Tensor> weights;  ///< [rows, cols] of each layer asked for, in the block's dtype
};

/// Runs the block again and goes back through it.
/// @param hidden          [samples, seqlen, hidden_size], what the block read
/// @param output_gradient same shape
/// @param layers          indices into Block::linears()
BlockGradients block_gradients(models::Block& block, const Tensor& hidden,
                               const Tensor& output_gradient, const std::vector<size_t>& layers,
                               bool with_input);

/// A loss summed over tokens and its derivative.
struct LossGradient {
  double loss = 0.0;
  Tensor hidden;  ///< as the student's hidden states
};

/// KL(teacher ‖ student) of the next token's distributions, in nats, summed over all tokens (Hinton et al. 2015,
/// arXiv 1503.02531, at temperature 1). Holds the logits of a few tokens at a time.
/// @param teacher_hidden, student_hidden [..., hidden_size] after the last block
/// @param scale multiplies the derivative only
LossGradient distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                               const models::Head& student, const Tensor& student_hidden,
                               double scale);
/// The loss alone.
double distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                         const models::Head& student, const Tensor& student_hidden);

}  // namespace prune::recovery
