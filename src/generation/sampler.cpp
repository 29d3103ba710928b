#include <prune/core/error.h>
#include <prune/generation/sampler.h>

namespace prune::generation {

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), random_(sampling.seed) {}

int64_t Sampler::operator()(const Tensor& logits) {
  if (!at::isfinite(logits).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric,
                "the logits of the next token are not finite; --dtype float32 has a larger range "
                "than float16");
  }
  if (sampling_.temperature == 0.0) return logits.argmax().item<int64_t>();
  const Tensor shares =
      at::softmax(logits.to(at::kCPU, at::kDouble).div(sampling_.temperature), -1);
  const auto [sorted, ids] = shares.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  const Tensor before = sorted.cumsum(-1) - sorted;
  // The most probable token always counts.
  const int64_t counted = std::max<int64_t>(1, before.lt(sampling_.top_p).sum().item<int64_t>());
  const Tensor sums = sorted.narrow(0, 0, counted).cumsum(0);
  // 53 bits of a double in [0, 1); std::uniform_real_distribution differs between libraries.
  const double drawn = static_cast<double>(random_() >> 11U) * 0x1p-53;
  const double reached = drawn * sums[-1].item<double>();
  const int64_t place = std::min(sums.le(reached).sum().item<int64_t>(), counted - 1);
  return ids[place].item<int64_t>();
}

}  // namespace prune::generation
