#include "prefix_trie.h"

#include <algorithm>

namespace prune::tokenizer {
namespace {

/// The strings [begin, end) share their first `depth` bytes; they are those below a node.
struct Range {
  size_t begin;
  size_t end;
  size_t depth;
};

}  // namespace

PrefixTrie::PrefixTrie(std::vector<std::pair<std::string_view, uint32_t>> strings) {
  std::ranges::stable_sort(strings, {}, &std::pair<std::string_view, uint32_t>::first);
  nodes_.emplace_back();
  // Breadth first: the ranges of the nodes in the sequence of their indices.
  std::vector<Range> ranges = {{0, strings.size(), 0}};
  for (size_t node = 0; node < ranges.size(); ++node) {
    auto [at, end, depth] = ranges[node];
    for (; at < end && strings[at].first.size() == depth; ++at) {
      nodes_[node].value = strings[at].second;
    }
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (at < end) {
      const size_t begin = at;
      const char label = strings[begin].first[depth];
      while (at < end && strings[at].first[depth] == label) ++at;
      const auto byte = static_cast<unsigned char>(label);
      if (node == 0) root_children_[byte] = static_cast<uint32_t>(nodes_.size());
      nodes_[node].children++;
      nodes_.push_back({.label = byte});
      ranges.push_back({begin, at, depth + 1});
    }
  }
}

}  // namespace prune::tokenizer
