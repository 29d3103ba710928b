#include <ATen/core/grad_mode.h>
#include <prune/recovery/gradients.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace prune::recovery {
namespace {

// Logits that are in memory at once: 32 MiB of float32, whatever the vocabulary.
constexpr int64_t kLogitsAtOnce = int64_t{1} << 23;

/// Log-probabilities in float32.
Tensor log_shares(const Tensor& logits) { return at::log_softmax(logits, -1, at::kFloat); }

/// Calls visit(teacher's rows, student's rows, index of the first) for a few tokens at a time.
template <typename Visit>
void for_some_tokens(const models::Head& head, const Tensor& teacher, const Tensor& student,
                     const Visit& visit) {
  const Tensor t = teacher.flatten(0, -2);
  const Tensor s = student.flatten(0, -2);
  const int64_t tokens = s.size(0);
  const int64_t step = std::clamp<int64_t>(kLogitsAtOnce / head.vocab_size(), 1, tokens);
  for (int64_t first = 0; first < tokens; first += step) {
    const int64_t end = std::min(first + step, tokens);
    visit(t.slice(0, first, end), s.slice(0, first, end), first);
  }
}

double divergence(const Tensor& teacher, const Tensor& shares, const Tensor& student) {
  return (shares * (teacher - student)).sum(at::kDouble).item<double>();
}

}  // namespace

BlockGradients block_gradients(models::Block& block, const Tensor& hidden,
                               const Tensor& output_gradient, const std::vector<size_t>& layers,
                               bool with_input) {
  const at::AutoGradMode with_gradients(true);
  torch::autograd::variable_list leaves;
  for (const size_t layer : layers) {
    Tensor& weight = block.linears()[layer].weight;
    weight = weight.detach().requires_grad_(true);
    leaves.push_back(weight);
  }
  const Tensor x = hidden.detach();
  if (with_input) leaves.push_back(x.requires_grad_(true));
  const Tensor y = block.forward(x);
  BlockGradients result{.input = {},
                        .weights = torch::autograd::grad({y}, leaves, {output_gradient})};
  for (const size_t layer : layers) {
    block.linears()[layer].weight = block.linears()[layer].weight.detach();
  }
  if (with_input) {
    result.input = std::move(result.weights.back());
    result.weights.pop_back();
  }
  return result;
}

LossGradient distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                               const models::Head& student, const Tensor& student_hidden,
                               double scale) {
  LossGradient result{.loss = 0.0, .hidden = at::empty_like(student_hidden)};
  const Tensor gradient = result.hidden.flatten(0, -2);
  for_some_tokens(student, teacher_hidden, student_hidden,
                  [&](const Tensor& t, const Tensor& s, int64_t first) {
                    const Tensor wanted = log_shares(teacher.logits(t));
                    const at::AutoGradMode with_gradients(true);
                    const Tensor leaf = s.detach().requires_grad_(true);
                    const Tensor logits = student.logits(leaf);
                    const at::AutoGradMode without(false);
                    const Tensor got = log_shares(logits.detach());
                    const Tensor shares = wanted.exp();
                    result.loss += divergence(wanted, shares, got);
                    // d/dz KL(p ‖ softmax(z)) = softmax(z) - p
                    const Tensor by_logit =
                        got.exp().sub_(shares).mul_(scale).to(logits.scalar_type());
                    gradient.slice(0, first, first + s.size(0))
                        .copy_(torch::autograd::grad({logits}, {leaf}, {by_logit}).front());
                  });
  return result;
}

double distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                         const models::Head& student, const Tensor& student_hidden) {
  double loss = 0.0;
  for_some_tokens(student, teacher_hidden, student_hidden,
                  [&](const Tensor& t, const Tensor& s, int64_t) {
                    const Tensor wanted = log_shares(teacher.logits(t));
                    loss += divergence(wanted, wanted.exp(), log_shares(student.logits(s)));
                  });
  return loss;
}

}  // namespace prune::recovery
