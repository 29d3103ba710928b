#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prune::tokenizer {

/// Caches the ids of pieces in bounded memory; natural text repeats its words. A full cache is cleared,
/// which costs less than tracking the least recently used piece.
class PieceCache {
 public:
  PieceCache() : slots_(kSlots) {}

  /// Longer pieces seldom repeat.
  static constexpr size_t kMaxPieceBytes = 256;

  /// The ids of a piece; a span with null data if it is absent. Valid until the next put.
  std::span<const uint32_t> find(std::string_view piece) const;
  void put(std::string_view piece, std::span<const uint32_t> ids);

 private:
  static constexpr size_t kSlots = size_t{1} << 17;
  static constexpr size_t kMaxEntries = kSlots / 2;
  struct Slot {
    uint32_t hash = 0;
    uint32_t text_begin = 0;
    uint32_t ids_begin = 0;
    uint16_t text_size = 0;  // 0: free slot, as no piece is empty
    uint16_t ids_size = 0;
  };

  size_t index_of(std::string_view piece, uint32_t hash) const;

  std::vector<Slot> slots_;
  std::string texts_;
  std::vector<uint32_t> ids_;
  size_t entries_ = 0;
};

}  // namespace prune::tokenizer
