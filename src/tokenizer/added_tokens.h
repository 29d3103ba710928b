#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "model.h"
#include "normalizer.h"
#include "regex.h"

namespace prune::tokenizer {

/// A token that is matched literally in the text, before the model sees it.
struct AddedToken {
  std::string content;
  bool single_word = false;  ///< matches only without a word character on either side
  bool lstrip = false;       ///< also takes the white space to its left
  bool rstrip = false;       ///< also takes the white space to its right
  bool normalized = true;    ///< matched in normalised text, by its own normalised form
  bool special = false;      ///< not matched if the tokenizer splits special tokens
};

/// Reads an entry of "added_tokens" or a special token of tokenizer_config.json (a string or an object).
AddedToken read_added_token(const json& description);

/// A trie that finds the leftmost of its strings in a text, and the longest of those that start there.
class StringFinder {
 public:
  /// Adding a string again replaces its value.
  void add(std::string_view text, size_t value);
  bool empty() const { return nodes_.size() == 1; }

  struct Found {
    Span span;
    size_t value;
  };
  std::optional<Found> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    std::vector<std::pair<char, size_t>> next;
    std::optional<size_t> value;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<bool, 256> starts_{};
};

/// An added token, with its id, or the text between two of them.
struct Segment {
  Span span;
  std::optional<uint32_t> id;
};

/// The added tokens of a tokenizer, and the tries that find them.
class AddedTokens {
 public:
  /// Assigns the model's id if the model has the token, else the next free id, as the `tokenizers`
  /// package does (it ignores the "id" in the file).
  void add(AddedToken token, const Model& model);
  /// Builds the tries. Call after the last `add`.
  /// @param split_special  leaves special tokens to the model.
  void prepare(const Normalizer& normalizer, bool split_special);

  std::optional<uint32_t> id_of(const std::string& content) const;
  std::optional<std::string_view> token_of(uint32_t id) const;
  bool is_special(const std::string& content) const { return special_.contains(content); }
  int64_t end_id() const { return end_id_; }

  /// Cuts raw text at the tokens with normalized=false.
  std::vector<Segment> split_raw(std::string_view text) const { return split(text, raw_); }
  /// Cuts normalised text at the tokens with normalized=true.
  std::vector<Segment> split_normalized(std::string_view text) const {
    return split(text, normalized_);
  }

 private:
  struct Entry {
    AddedToken token;
    uint32_t id;
    bool replaced = false;  ///< by a later token with the same id
  };
  std::vector<Segment> split(std::string_view text, const StringFinder& finder) const;
  bool is_matched(const Entry& entry, std::string_view text, Span span) const;

  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_content_;  // entries not replaced
  std::unordered_map<uint32_t, size_t> by_id_;
  std::unordered_set<std::string> special_;  // stays special when described again
  bool split_special_ = false;
  StringFinder raw_;
  StringFinder normalized_;
  int64_t end_id_ = 0;
};

}  // namespace prune::tokenizer
