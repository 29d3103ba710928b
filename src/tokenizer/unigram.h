#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "piece_cache.h"
#include "prefix_trie.h"
#include "vocabulary.h"

namespace prune::tokenizer {

/// SentencePiece's unigram language model: of all ways to cut a piece into tokens, the one with the largest
/// sum of scores, found by dynamic programming (Viterbi). Source: arXiv 1804.10959, section 3.2, with the
/// unknown tokens of the `tokenizers` package (src/tokenizer/README.md, "Unigram").
class Unigram : public Model {
 public:
  /// @throws Error(input) if `unk_id` is not the id of a token, a token is too long or a score is not
  ///         finite.
  Unigram(const ScoredTokens& tokens, std::optional<size_t> unk_id, bool byte_fallback);

  void encode(std::string_view piece, std::vector<int64_t>& ids) override;
  std::optional<uint32_t> id_of(std::string_view token) const override;
  std::optional<std::string_view> token_of(uint32_t id) override;
  size_t size() const override { return scores_.size(); }
  int64_t end_id() const override { return static_cast<int64_t>(scores_.size()); }

 private:
  /// The best way to cut the text before a position: its score and its last token.
  struct Best {
    double score = 0;
    uint32_t id = 0;
    uint32_t begin = kNowhere;
  };
  static constexpr uint32_t kNowhere = ~uint32_t{0};

  void find_best_cuts(std::string_view piece);
  void collect(std::string_view piece);
  void add_token(std::string_view text);
  bool add_bytes(std::string_view text);
  uint32_t unk_id() const;

  Vocabulary ids_;
  std::vector<const std::string*> texts_;  // index = id; the keys of ids_
  std::vector<double> scores_;
  PrefixTrie trie_;
  std::optional<uint32_t> unk_id_;
  std::vector<std::optional<uint32_t>>
      byte_ids_;  // ids of "<0x00>" ... "<0xFF>"; empty: no fallback
  double unk_score_ = 0;
  PieceCache cache_;
  // Members only to save allocations.
  std::vector<Best> best_;
  std::vector<std::string_view> tokens_;
  std::vector<uint32_t> result_;
};

}  // namespace prune::tokenizer
