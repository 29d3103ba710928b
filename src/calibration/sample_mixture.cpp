#include <fmt/format.h>
#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "token_set.h"

namespace prune::calibration {
namespace {

/// The source of each sample. After k samples, a source that gives `share` of all has given about
/// k * share / all: the next one is the source that is furthest behind.
std::vector<size_t> interleaved(const std::vector<int64_t>& shares) {
  const int64_t all = std::reduce(shares.begin(), shares.end());
  std::vector<int64_t> given(shares.size(), 0);
  std::vector<size_t> sources;
  for (int64_t k = 1; k <= all; ++k) {
    size_t behind = 0;
    const auto missing = [&](size_t source) { return shares[source] * k - given[source] * all; };
    for (size_t source = 1; source < shares.size(); ++source) {
      if (missing(source) > missing(behind)) behind = source;
    }
    ++given[behind];
    sources.push_back(behind);
  }
  return sources;
}

}  // namespace

std::vector<int64_t> sample_shares(const std::vector<TextFile>& files, int64_t nsamples) {
  double largest = 0.0;
  for (const TextFile& file : files) {
    if (!(file.weight > 0.0) || !std::isfinite(file.weight)) {
      throw Error(ErrorKind::kUsage, fmt::format("the weight {} of '{}' is not a positive number",
                                                 file.weight, file.name));
    }
    largest = std::max(largest, file.weight);
  }
  double sum = 0.0;  // of weights relative to the largest: huge ones do not overflow
  for (const TextFile& file : files) sum += file.weight / largest;
  std::vector<int64_t> shares;
  std::vector<double> remainders;
  for (const TextFile& file : files) {
    const double share = static_cast<double>(nsamples) * (file.weight / largest) / sum;
    shares.push_back(static_cast<int64_t>(share));
    remainders.push_back(share - std::floor(share));
  }
  std::vector<size_t> order(files.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return remainders[i]; });
  const int64_t left = nsamples - std::reduce(shares.begin(), shares.end());
  for (int64_t i = 0; i < left; ++i) ++shares[order[static_cast<size_t>(i) % order.size()]];
  for (size_t i = 0; i < files.size(); ++i) {
    if (shares[i] > 0) continue;
    throw Error(ErrorKind::kUsage,
                fmt::format("'{}' with weight {} gets none of the {} calibration samples; raise "
                            "--nsamples or its weight",
                            files[i].name, files[i].weight, nsamples));
  }
  return shares;
}

TokenSet sample_calibration(const std::vector<TextFile>& files,
                            const chat::TemplateChoice& templates,
                            const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options) {
  check_lengths(options.seqlen, options.nsamples);
  const std::vector<int64_t> shares = sample_shares(files, options.nsamples);
  std::vector<TokenSet> parts;
  std::vector<TextDescription> texts;
  for (size_t i = 0; i < files.size(); ++i) {
    CalibrationOptions own = options;
    own.nsamples = shares[i];
    parts.push_back(sample_calibration(load_text(files[i], templates), tokenizer, own));
    texts.push_back(parts.back().texts.front());
  }
  if (parts.size() == 1) return std::move(parts.front());
  std::vector<int64_t> next(parts.size(), 0);
  Tensor samples = at::empty({options.nsamples, options.seqlen}, at::kLong);
  int64_t row = 0;
  for (const size_t source : interleaved(shares)) {
    samples[row++].copy_(parts[source].ids[next[source]++]);
  }
  return token_set(std::move(samples), std::move(texts));
}

}  // namespace prune::calibration
