#include "piece_cache.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace prune::tokenizer {
namespace {

uint32_t hash_of(std::string_view piece) {
  const uint64_t hash = std::hash<std::string_view>{}(piece);
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace

size_t PieceCache::index_of(std::string_view piece, uint32_t hash) const {
  size_t index = hash & (kSlots - 1);
  while (slots_[index].text_size != 0) {
    const Slot& slot = slots_[index];
    if (slot.hash == hash &&
        std::string_view(texts_).substr(slot.text_begin, slot.text_size) == piece) {
      break;
    }
    index = (index + 1) & (kSlots - 1);
  }
  return index;
}

std::span<const uint32_t> PieceCache::find(std::string_view piece) const {
  const Slot& slot = slots_[index_of(piece, hash_of(piece))];
  if (slot.text_size == 0) return {};
  return std::span(ids_).subspan(slot.ids_begin, slot.ids_size);
}

void PieceCache::put(std::string_view piece, std::span<const uint32_t> ids) {
  if (piece.empty() || ids.empty() || piece.size() > kMaxPieceBytes) return;
  if (ids.size() > std::numeric_limits<uint16_t>::max()) return;  // byte fallback of long affixes
  if (entries_ == kMaxEntries) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    texts_.clear();
    ids_.clear();
    entries_ = 0;
  }
  const uint32_t hash = hash_of(piece);
  slots_[index_of(piece, hash)] = {.hash = hash,
                                   .text_begin = static_cast<uint32_t>(texts_.size()),
                                   .ids_begin = static_cast<uint32_t>(ids_.size()),
                                   .text_size = static_cast<uint16_t>(piece.size()),
                                   .ids_size = static_cast<uint16_t>(ids.size())};
  texts_.append(piece);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++entries_;
}

}  // namespace prune::tokenizer
