#include "router.h"

#include <prune/kernels/product.h>

#include <cmath>
#include <limits>
#include <tuple>

namespace prune::models {

Router::Router(const RouterSpec& spec, const WeightLoader& loader, const std::string& prefix,
               int64_t hidden_size)
    : spec_(spec), weight_(loader.load(prefix + spec.weight, {spec.experts, hidden_size})) {
  if (!spec.bias.empty()) bias_ = loader.load(prefix + spec.bias, {spec.experts});
  for (Tensor* tensor : {&weight_, &bias_}) {
    if (spec.in_float && tensor->defined()) *tensor = tensor->to(at::kFloat);
  }
  if (!spec.input_scale.empty()) {
    input_norm_ = Norm{.spec = {.kind = NormKind::kRms, .eps = spec.input_eps},
                       .weight = loader.load(prefix + spec.input_scale, {hidden_size}),
                       .bias = {}};
  }
  if (!spec.expert_scale.empty()) {
    expert_scale_ = loader.load(prefix + spec.expert_scale, {spec.experts});
  }
  if (spec.correction.empty()) return;
  const std::string name = prefix + spec.correction;
  correction_ = spec.correction_is_row ? loader.load(name, {1, spec.experts})
                                       : loader.load(name, {spec.experts});
  if (correction_.defined()) correction_ = correction_.flatten().to(at::kFloat);
}

Routes Router::operator()(const Tensor& input) const {
  const Tensor x =
      input_norm_ ? (*input_norm_)(input).mul(1.0 / std::sqrt(static_cast<double>(input.size(-1))))
                  : input;
  const Tensor logits =
      kernels::affine(spec_.in_float ? x.to(at::kFloat) : x, weight_, bias_).to(at::kFloat);
  Tensor scores = logits;
  if (spec_.score == RouterSpec::Score::kSoftmax) scores = at::softmax(logits, -1);
  if (spec_.score == RouterSpec::Score::kSigmoid) scores = at::sigmoid(logits);
  Tensor choice = correction_.defined() ? scores + correction_ : scores;
  if (spec_.groups > 1) {
    const Tensor grouped = choice.unflatten(-1, {spec_.groups, -1});
    const Tensor group_scores = spec_.group_score == RouterSpec::Groups::kMax
                                    ? grouped.amax(-1)
                                    : std::get<0>(grouped.topk(2, -1)).sum(-1);
    const Tensor best = std::get<1>(group_scores.topk(spec_.groups_chosen, -1));
    const Tensor left_out = at::ones_like(group_scores, group_scores.options().dtype(at::kBool))
                                .scatter_(-1, best, false);
    choice = grouped.masked_fill(left_out.unsqueeze(-1), -std::numeric_limits<double>::infinity())
                 .flatten(-2);
  }
  Routes routes{.experts = std::get<1>(choice.topk(spec_.chosen, -1)), .gates = {}};
  Tensor gates = scores.gather(-1, routes.experts);
  if (spec_.score == RouterSpec::Score::kChosenSoftmax) gates = at::softmax(gates, -1);
  if (spec_.normalised) {
    gates =
        gates / gates.sum(-1, /*keepdim=*/true).add(spec_.sum_offset).clamp_min(spec_.sum_least);
  }
  if (expert_scale_.defined()) gates = gates * expert_scale_.index({routes.experts});
  routes.gates = spec_.scale == 1.0 ? gates : gates.mul(spec_.scale);
  if (spec_.gates_input) {
    routes.input_gates = routes.gates;
    routes.gates = at::ones_like(gates);
  }
  return routes;
}

}  // namespace prune::models
