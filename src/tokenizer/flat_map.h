#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace prune::tokenizer {

/// Hash map from 64-bit keys to small values: one array with linear probing. Lookups are the inner loop
/// of BPE, and a node-based map would miss the cache twice per lookup.
template <class Value>
class FlatMap {
 public:
  FlatMap() : slots_(16) {}

  /// Putting a key again replaces its value. The key must not be 2^64 - 1.
  void put(uint64_t key, Value value) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[index_of(key)];
    if (slot.key == kEmpty) ++count_;
    slot = {key, value};
  }

  /// nullptr if the key is absent; valid until the next put.
  const Value* find(uint64_t key) const {
    const Slot& slot = slots_[index_of(key)];
    return slot.key == kEmpty ? nullptr : &slot.value;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Value value{};
  };

  /// The slot that holds the key, or the empty slot where it belongs.
  size_t index_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = key * 0x9E3779B97F4A7C15ULL;  // 2^64 / golden ratio (Knuth 6.4)
    hash ^= hash >> 32;
    size_t index = static_cast<size_t>(hash) & mask;
    while (slots_[index].key != key && slots_[index].key != kEmpty) index = (index + 1) & mask;
    return index;
  }

  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) slots_[index_of(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace prune::tokenizer
