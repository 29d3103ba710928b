#include <prune/core/error.h>
#include <prune/evaluation/perplexity.h>

#include <algorithm>
#include <cmath>

#include "run_blocks.h"

namespace prune::evaluation {
namespace {

// The logits of a segment of 2048 tokens over a vocabulary of 250,000 would take 2 GiB. The loss is a mean
// over tokens, so it is computed for a few hundred at a time.
constexpr int64_t kTokensAtOnce = 256;

// Mean loss of one segment, in nats.
// @param hidden  [seqlen, hidden_size]
// @param ids     [seqlen]
double segment_loss(const models::Head& head, const Tensor& hidden, const Tensor& ids,
                    const PerplexityOptions& options) {
  const int64_t targets = ids.size(0) - 1;
  const Tensor labels = ids.slice(0, 1).to(hidden.device());
  if (options.loss_in_model_dtype) {
    const Tensor logits = head.logits(hidden).slice(0, 0, targets);
    return at::cross_entropy_loss(logits, labels).item<double>();
  }
  double sum = 0.0;
  for (int64_t first = 0; first < targets; first += kTokensAtOnce) {
    const int64_t end = std::min(first + kTokensAtOnce, targets);
    const Tensor logits = head.logits(hidden.slice(0, first, end)).to(at::kFloat);
    sum += at::cross_entropy_loss(logits, labels.slice(0, first, end), {}, at::Reduction::Sum)
               .item<double>();
  }
  return sum / static_cast<double>(targets);
}

}  // namespace

Tensor segment_losses(const models::Head& head, const stream::HiddenStates& hidden,
                      const Tensor& ids, const PerplexityOptions& options) {
  std::vector<double> losses;
  hidden.for_each_batch([&](int64_t first, const Tensor& batch) {
    for (int64_t i = 0; i < batch.size(0); ++i) {
      losses.push_back(segment_loss(head, batch[i], ids[first + i], options));
    }
  });
  return at::tensor(losses, at::kDouble);
}

Tensor segment_losses(const models::Model& model, const Tensor& ids, const std::string& source,
                      const PerplexityOptions& options, Progress& progress) {
  if (ids.size(0) == 0) return at::empty({0}, at::kDouble);
  const auto hidden =
      run_blocks(model, {ids}, options.scratch, options.batch, "evaluate " + source, progress);
  Tensor losses = segment_losses(*model.load_head(), hidden.front(), ids, options);
  model.drop_ends();
  return losses;
}

double perplexity(const Tensor& losses) {
  const auto segments = losses.accessor<double, 1>();
  double sum = 0.0;
  for (int64_t i = 0; i < segments.size(0); ++i) {
    if (!std::isfinite(segments[i])) {
      throw Error(ErrorKind::kNumeric,
                  fmt::format("the loss of evaluation segment {} is {}", i, segments[i]));
    }
    sum += segments[i];
  }
  return std::exp(sum / static_cast<double>(segments.size(0)));
}

PerplexityResult perplexity(const Tensor& losses, const calibration::TokenSet& tokens,
                            at::ScalarType dtype) {
  return {.perplexity = perplexity(losses),
          .source = tokens.source,
          .texts = tokens.texts,
          .sha256 = tokens.sha256,
          .seqlen = tokens.seqlen(),
          .segments = tokens.samples(),
          .tokens = tokens.ids.numel(),
          .dtype = dtype_name(dtype)};
}

nlohmann::json to_json(const PerplexityResult& result) {
  return {{"data", result.source},           {"sha256", result.sha256},
          {"seqlen", result.seqlen},         {"segments", result.segments},
          {"tokens", result.tokens},         {"dtype", result.dtype},
          {"perplexity", result.perplexity}, {"texts", calibration::to_json(result.texts)}};
}

}  // namespace prune::evaluation
