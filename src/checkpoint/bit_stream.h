#pragma once

#include <cstdint>
#include <limits>

namespace prune::checkpoint {

/// Writes numbers of up to 16 bits without gaps, the first into the lowest bits of the first word.
template <class Word>
class BitWriter {
 public:
  explicit BitWriter(Word* to) : to_(to) {}

  void put(uint32_t value, int bits) {
    pending_ |= static_cast<uint64_t>(value) << filled_;
    filled_ += bits;
    while (filled_ >= kWordBits) {
      *to_++ = static_cast<Word>(pending_);
      pending_ >>= kWordBits;
      filled_ -= kWordBits;
    }
  }
  /// Writes a last, partly filled word; its unused bits are zero.
  void finish() {
    if (filled_ > 0) *to_++ = static_cast<Word>(pending_);
    pending_ = 0;
    filled_ = 0;
  }

 private:
  static constexpr int kWordBits = std::numeric_limits<Word>::digits;
  Word* to_;
  uint64_t pending_ = 0;
  int filled_ = 0;
};

/// Reads numbers written by BitWriter; never reads a word that the requested numbers do not reach.
template <class Word>
class BitReader {
 public:
  explicit BitReader(const Word* from) : from_(from) {}

  uint32_t get(int bits) {
    while (filled_ < bits) {
      pending_ |= static_cast<uint64_t>(*from_++) << filled_;
      filled_ += kWordBits;
    }
    const auto value = static_cast<uint32_t>(pending_ & ((uint64_t{1} << bits) - 1));
    pending_ >>= bits;
    filled_ -= bits;
    return value;
  }

 private:
  static constexpr int kWordBits = std::numeric_limits<Word>::digits;
  const Word* from_;
  uint64_t pending_ = 0;
  int filled_ = 0;
};

}  // namespace prune::checkpoint
