#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace prune::tokenizer {

/// Finds all strings of a fixed set that start at a given place of a text.
class PrefixTrie {
 public:
  /// The strings need not be sorted; of equal ones the last value counts. Takes memory in proportion to
  /// their bytes.
  explicit PrefixTrie(std::vector<std::pair<std::string_view, uint32_t>> strings);

  /// Calls visit(size in bytes, value) for every non-empty string that `text` starts with, shortest first.
  template <class Visit>
  void for_each_prefix(std::string_view text, Visit&& visit) const {
    uint32_t node = 0;
    for (size_t size = 0; size < text.size();) {
      node = child(node, static_cast<unsigned char>(text[size++]));
      if (node == 0) return;
      if (nodes_[node].value != kNone) visit(size, nodes_[node].value);
    }
  }

 private:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  /// The children of a node are adjacent and sorted by label.
  struct Node {
    uint32_t value = kNone;
    uint32_t first_child = 0;
    uint16_t children = 0;
    unsigned char label = 0;
  };

  /// The child with this label; 0, the root, if there is none.
  uint32_t child(uint32_t node, unsigned char label) const {
    if (node == 0) return root_children_[label];
    uint32_t low = nodes_[node].first_child;
    uint32_t count = nodes_[node].children;
    while (count > 0) {
      const uint32_t half = count / 2;
      if (nodes_[low + half].label < label) {
        low += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    const bool found =
        low < nodes_[node].first_child + nodes_[node].children && nodes_[low].label == label;
    return found ? low : 0;
  }

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> root_children_{};  // every search starts here
};

}  // namespace prune::tokenizer
