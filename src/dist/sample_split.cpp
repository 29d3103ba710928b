#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/dist/sample_split.h>

#include <algorithm>

namespace prune::dist {
namespace {

// More chunks would let more ranks share a run, but a single rank holds up to 1 + log2(chunks) sums per site.
constexpr int64_t kFixedChunks = 16;

}  // namespace

Range even_part(int64_t count, int64_t parts, int64_t part) {
  const auto begin = [&](int64_t p) { return p * (count / parts) + std::min(p, count % parts); };
  return {begin(part), begin(part + 1)};
}

SampleSplit::SampleSplit(int64_t samples, int64_t ranks, bool deterministic)
    : samples_(samples),
      ranks_(ranks),
      chunks_(std::min(samples, deterministic ? kFixedChunks : ranks)) {
  if (ranks_ > chunks_) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("{} ranks, but there is work for only {}: {}", ranks_, chunks_,
                    samples_ < ranks_
                        ? "each rank needs a sample of --nsamples and of --estimate-nsamples"
                        : "--deterministic cuts the samples into that many chunks"));
  }
}

Range SampleSplit::samples_of_chunk(int64_t chunk) const {
  return even_part(samples_, chunks_, chunk);
}

Range SampleSplit::chunks_of(int64_t rank) const { return even_part(chunks_, ranks_, rank); }

Range SampleSplit::samples_of(int64_t rank) const {
  const Range chunks = chunks_of(rank);
  return {samples_of_chunk(chunks.begin).begin, samples_of_chunk(chunks.end - 1).end};
}

int64_t SampleSplit::rank_of(int64_t chunk) const {
  int64_t rank = 0;
  while (chunks_of(rank).end <= chunk) ++rank;
  return rank;
}

}  // namespace prune::dist
