#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flat_map.h"
#include "model.h"
#include "piece_cache.h"
#include "vocabulary.h"

namespace prune::tokenizer {

using Merges = std::vector<std::pair<std::string, std::string>>;  ///< index = rank, 0 merges first

/// Fields of "model" in tokenizer.json.
struct BpeOptions {
  std::optional<std::string> unk_token;
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
};

/// Byte-pair encoding: starts from characters and merges the adjacent pair of lowest rank until no pair
/// can merge. Source: arXiv 1508.07909, section 3.2, with the options of tokenizer.json
/// (src/tokenizer/README.md, "tokenizer.json").
class Bpe : public Model {
 public:
  /// @throws Error(input) if a merge names a token that the vocabulary lacks.
  Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options);

  void encode(std::string_view piece, std::vector<int64_t>& ids) override;
  std::optional<uint32_t> id_of(std::string_view token) const override;
  std::optional<std::string_view> token_of(uint32_t id) override;
  size_t size() const override { return vocabulary_.size(); }
  int64_t end_id() const override { return end_id_; }

 private:
  struct Merge {
    uint32_t rank;
    uint32_t id;
  };
  struct Symbol {
    uint32_t id;
    int32_t previous;
    int32_t next;  // kRemoved once merged into its left neighbour
  };
  struct Candidate {
    uint32_t rank;
    int32_t position;
    uint32_t id;
  };

  void add_merges(const Merges& merges);
  void read_characters();
  void encode_stretch(std::string_view stretch, std::vector<int64_t>& ids);
  void encode_uncached(std::string_view stretch);
  size_t next_cut(std::string_view piece, size_t begin) const;
  void add_characters(std::string_view stretch);
  void check_count(std::string_view stretch) const;
  const uint32_t* character_id(std::string_view stretch, size_t begin, size_t size_bytes);
  bool add_bytes(std::string_view character);
  uint32_t unk_id() const;
  void merge_all();
  void offer(int32_t position);

  Vocabulary vocabulary_;
  std::vector<const Vocabulary::value_type*> by_id_;  // sorted; empty until the first token_of
  BpeOptions options_;
  int64_t end_id_ = 0;
  FlatMap<Merge> merges_;                          // left id << 32 | right id
  FlatMap<uint32_t> characters_;                   // code point -> id
  FlatMap<bool> junctions_;                        // last code point << 32 | first code point
  std::vector<std::optional<uint32_t>> byte_ids_;  // ids of "<0x00>" ... "<0xFF>"
  bool can_cut_ = false;
  PieceCache cache_;
  // Members only to save allocations.
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::vector<uint32_t> result_;
  std::string decorated_;
};

}  // namespace prune::tokenizer
