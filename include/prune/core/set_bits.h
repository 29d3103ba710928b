#pragma once

#include <prune/core/parallel.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <vector>

namespace prune {

/// The set bits of a mask, counted chunk by chunk, so that several threads can visit them. The mask has to live as long.
template <class Word>
class SetBits {
 public:
  /// @param words unsigned numbers, `count` of them
  SetBits(const Word* words, int64_t count)
      : words_(words),
        count_(count),
        before_(static_cast<size_t>((count + kChunk - 1) / kChunk) + 1, 0) {
    parallel_for(0, chunks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t w = first * kChunk; w < std::min(end * kChunk, count_); ++w) {
        before_[static_cast<size_t>(w / kChunk) + 1] += std::popcount(words_[w]);
      }
    });
    std::partial_sum(before_.begin(), before_.end(), before_.begin());
  }

  /// Number of bits that are set.
  int64_t total() const { return before_.back(); }

  /// Calls visit(first word, end, number of set bits before) for all chunks, several at once.
  template <class Visit>
  void for_each_chunk(const Visit& visit) const {
    parallel_for(0, chunks(), 1, [&](int64_t first, int64_t end) {
      for (int64_t chunk = first; chunk < end; ++chunk) {
        visit(chunk * kChunk, std::min((chunk + 1) * kChunk, count_),
              before_[static_cast<size_t>(chunk)]);
      }
    });
  }

 private:
  // Words that a thread takes at once: 32 KB of the mask.
  static constexpr int64_t kChunk = (1 << 15) / sizeof(Word);

  int64_t chunks() const { return std::ssize(before_) - 1; }

  const Word* words_;
  int64_t count_;
  std::vector<int64_t> before_;  // of each chunk, and of all
};

}  // namespace prune
