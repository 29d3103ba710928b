#include <ATen/core/grad_mode.h>
#include <prune/recovery/gradients.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace prune::recovery {
namespace {

// Logits that are in memory at once, and those that become probabilities at once: the former make a product large
// enough, the latter stay in a processor's cache.
constexpr int64_t kLogitsAtOnce = int64_t{1} << 22;
constexpr int64_t kSharesAtOnce = int64_t{1} << 18;
constexpr int64_t kLogitsAtOnceCuda = int64_t{1} << 26;

/// Calls visit(first, end) for at most `most / width` rows at a time.
template <typename Visit>
void for_some_rows(int64_t rows, int64_t width, int64_t most, const Visit& visit) {
  const int64_t step = std::max<int64_t>(most / width, 1);
  for (int64_t first = 0; first < rows; first += step) visit(first, std::min(first + step, rows));
}

/// Log-probabilities in float32.
Tensor log_shares(const Tensor& logits) { return at::log_softmax(logits, -1, at::kFloat); }

/// KL(softmax(teacher) ‖ softmax(student)) summed over the rows of logits. Where `gradient` is defined, it gets the
/// derivative by the student's logits, softmax(student) - softmax(teacher), times `scale`.
double divergence(const Tensor& teacher, const Tensor& student, const Tensor& gradient,
                  double scale) {
  double sum = 0.0;
  const int64_t most = student.is_cuda() ? kLogitsAtOnceCuda : kSharesAtOnce;
  for_some_rows(student.size(0), student.size(1), most, [&](int64_t first, int64_t end) {
    const Tensor wanted = log_shares(teacher.slice(0, first, end));
    Tensor got = log_shares(student.slice(0, first, end));
    const Tensor shares = wanted.exp();
    sum += (wanted - got).mul_(shares).sum(at::kDouble).item<double>();
    if (gradient.defined())
      gradient.slice(0, first, end).copy_(got.exp_().sub_(shares).mul_(scale));
  });
  return sum;
}

/// Calls visit(teacher's rows, student's rows, index of the first) for a few tokens at a time.
template <typename Visit>
void for_some_tokens(const models::Head& head, const Tensor& teacher, const Tensor& student,
                     const Visit& visit) {
  const Tensor t = teacher.flatten(0, -2);
  const Tensor s = student.flatten(0, -2);
  const int64_t most = s.is_cuda() ? kLogitsAtOnceCuda : kLogitsAtOnce;
  for_some_rows(s.size(0), head.vocab_size(), most, [&](int64_t first, int64_t end) {
    visit(t.slice(0, first, end), s.slice(0, first, end), first);
  });
}

}  // namespace

BlockGradients block_gradients(models::Block& block, const Tensor& hidden,
                               const std::function<Tensor(const Tensor&)>& output_gradient,
                               const std::vector<size_t>& layers, bool with_input) {
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
  Tensor by_output;
  {
    const at::NoGradGuard constant;
    by_output = output_gradient(y.detach());
  }
  BlockGradients result{.input = {},
                        .weights = torch::autograd::grad({y}, leaves, {by_output},
                                                         /*retain_graph=*/std::nullopt,
                                                         /*create_graph=*/false,
                                                         /*allow_unused=*/true)};
  // Of an expert that no token of these samples has passed.
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (!result.weights[i].defined()) result.weights[i] = at::zeros_like(leaves[i]);
  }
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
  const auto visit = [&](const Tensor& t, const Tensor& s, int64_t first) {
    const Tensor wanted = teacher.logits(t);
    const at::AutoGradMode with_gradients(true);
    const Tensor leaf = s.detach().requires_grad_(true);
    const Tensor logits = student.logits(leaf);
    const Tensor by_logit = at::empty_like(logits.detach());
    result.loss += divergence(wanted, logits.detach(), by_logit, scale);
    gradient.slice(0, first, first + s.size(0))
        .copy_(torch::autograd::grad({logits}, {leaf}, {by_logit}).front());
  };
  for_some_tokens(student, teacher_hidden, student_hidden, visit);
  return result;
}

double distillation_loss(const models::Head& teacher, const Tensor& teacher_hidden,
                         const models::Head& student, const Tensor& student_hidden) {
  double loss = 0.0;
  for_some_tokens(student, teacher_hidden, student_hidden,
                  [&](const Tensor& t, const Tensor& s, int64_t) {
                    loss += divergence(teacher.logits(t), student.logits(s), {}, 1.0);
                  });
  return loss;
}

}  // namespace prune::recovery
