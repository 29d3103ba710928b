#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/evaluation/perplexity.h>

#include <algorithm>
#include <cmath>

namespace prune::evaluation {
namespace {

// Logits of a whole segment over a vocabulary of 250,000 would be 2 GiB; the loss is a mean over
// tokens, so it is taken a few hundred at a time.
constexpr int64_t kTokensAtOnce = 256;

// Mean loss of one segment. @param hidden [seqlen, hidden_size] @param ids [seqlen]
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

double perplexity(const models::Head& head, const models::HiddenStates& hidden, const Tensor& ids,
                  const PerplexityOptions& options) {
  double sum = 0.0;
  hidden.for_each_batch([&](int64_t first, const Tensor& batch) {
    for (int64_t i = 0; i < batch.size(0); ++i) {
      const double loss = segment_loss(head, batch[i], ids[first + i], options);
      if (!std::isfinite(loss)) {
        throw Error(ErrorKind::kNumeric,
                    fmt::format("the loss of evaluation segment {} is {}", first + i, loss));
      }
      sum += loss;
    }
  });
  return std::exp(sum / static_cast<double>(ids.size(0)));
}

PerplexityResult perplexity(const models::Model& model, const calibration::TokenSet& tokens,
                            const PerplexityOptions& options, Progress& progress) {
  const int64_t blocks = model.config().blocks;
  progress.begin("evaluate " + tokens.source, blocks);
  models::HiddenStates hidden =
      models::HiddenStates::embed(*model.load_embedding(), tokens.ids, options.scratch);
  model.drop_ends();
  for (int64_t b = 0; b < blocks; ++b) {
    throw_if_interrupted();
    model.prefetch_block(b + 1);
    hidden.advance(*model.load_block(b));
    model.drop_block(b);
    progress.advance();
  }
  const double result = perplexity(*model.load_head(), hidden, tokens.ids, options);
  model.drop_ends();
  return {.perplexity = result,
          .source = tokens.source,
          .sha256 = tokens.sha256,
          .seqlen = tokens.seqlen(),
          .segments = tokens.samples(),
          .tokens = tokens.ids.numel(),
          .dtype = dtype_name(model.dtype())};
}

nlohmann::json to_json(const PerplexityResult& result) {
  return {{"data", result.source},          {"sha256", result.sha256}, {"seqlen", result.seqlen},
          {"segments", result.segments},    {"tokens", result.tokens}, {"dtype", result.dtype},
          {"perplexity", result.perplexity}};
}

}  // namespace prune::evaluation
