#include "bpe.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <tuple>

namespace prune::tokenizer {
namespace {

constexpr int32_t kNone = -1;
constexpr int32_t kRemoved = -2;

/// Pieces up to this length are words already; a search for cuts would only cost time.
constexpr size_t kCutBytes = 48;

uint64_t pair_key(uint32_t left, uint32_t right) { return (uint64_t{left} << 32) | right; }

uint64_t junction_key(std::string_view left, std::string_view right) {
  return pair_key(decode_utf8(left, last_character(left)).code_point,
                  decode_utf8(right, 0).code_point);
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, const Merges& merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  for (const auto& [token, id] : vocabulary_) end_id_ = std::max(end_id_, int64_t{id} + 1);
  read_characters();
  can_cut_ = options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty();
  add_merges(merges);
}

std::optional<uint32_t> Bpe::id_of(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? std::nullopt : std::optional(found->second);
}

// Sorted pointers and no table indexed by id: a file may give its one token the id 2^31 - 1.
std::optional<std::string_view> Bpe::token_of(uint32_t id) {
  using Entry = Vocabulary::value_type;
  if (by_id_.empty()) {
    by_id_.reserve(vocabulary_.size());
    for (const Entry& entry : vocabulary_) by_id_.push_back(&entry);
    std::ranges::sort(by_id_, {}, [](const Entry* e) { return std::tie(e->second, e->first); });
  }
  const auto found = std::ranges::lower_bound(by_id_, id, {}, &Entry::second);
  if (found == by_id_.end() || (*found)->second != id) return std::nullopt;
  return (*found)->first;
}

void Bpe::read_characters() {
  for (const auto& [token, id] : vocabulary_) {
    if (token.empty()) continue;
    const Decoded first = decode_utf8(token, 0);
    if (first.size_bytes == token.size()) characters_.put(first.code_point, id);
  }
  if (!options_.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    byte_ids_.push_back(id_of(fmt::format("<0x{:02X}>", byte)));
}

void Bpe::add_merges(const Merges& merges) {
  const auto id_in_merge = [&](const std::string& token) {
    const std::optional<uint32_t> id = id_of(token);
    if (id) return *id;
    throw Error(ErrorKind::kInput,
                fmt::format("a merge names '{}', which is not in the vocabulary", token));
  };
  const auto is_bytes_or_unk = [&](uint32_t id) {
    if (options_.unk_token && id_of(*options_.unk_token) == id) return true;
    return std::find(byte_ids_.begin(), byte_ids_.end(), std::optional(id)) != byte_ids_.end();
  };
  uint32_t rank = 0;
  for (const auto& [left, right] : merges) {
    const uint32_t left_id = id_in_merge(left);
    const uint32_t right_id = id_in_merge(right);
    const std::string_view tail = std::string_view(right).substr(
        std::min(right.size(), options_.continuing_subword_prefix.size()));
    merges_.put(pair_key(left_id, right_id), {rank++, id_in_merge(left + std::string(tail))});
    if (left.empty() || right.empty() || is_bytes_or_unk(left_id) || is_bytes_or_unk(right_id)) {
      can_cut_ = false;  // the token's name is not the text that it stands for
    } else {
      junctions_.put(junction_key(left, right), true);
    }
  }
}

void Bpe::encode(std::string_view piece, std::vector<int64_t>& ids) {
  if (options_.ignore_merges) {
    if (const std::optional<uint32_t> id = id_of(piece)) {
      ids.push_back(*id);
      return;
    }
  }
  if (!can_cut_ || piece.size() <= kCutBytes) return encode_stretch(piece, ids);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = next_cut(piece, begin);
    encode_stretch(piece.substr(begin, end - begin), ids);
    begin = end;
  }
}

// A merge across a position joins a token that ends with the character before it and a token that starts
// with the character after it. If no merge has this pair of characters at its junction, nothing is ever
// joined there, and both sides can be encoded separately. LLaMA's tokenizers pass whole documents as one
// piece; this cuts them into words. Never cut next to a character without an id: runs of unknown
// characters are fused.
size_t Bpe::next_cut(std::string_view piece, size_t begin) const {
  Decoded left = decode_utf8(piece, begin);
  size_t at = begin + left.size_bytes;
  bool left_known = characters_.find(left.code_point) != nullptr;
  while (at < piece.size()) {
    const Decoded right = decode_utf8(piece, at);
    const bool right_known = characters_.find(right.code_point) != nullptr;
    if (left_known && right_known &&
        junctions_.find(pair_key(left.code_point, right.code_point)) == nullptr) {
      return at;
    }
    left = right;
    left_known = right_known;
    at += right.size_bytes;
  }
  return piece.size();
}

void Bpe::encode_stretch(std::string_view stretch, std::vector<int64_t>& ids) {
  const std::span<const uint32_t> known = cache_.find(stretch);
  if (known.data() != nullptr) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  encode_uncached(stretch);
  ids.insert(ids.end(), result_.begin(), result_.end());
  cache_.put(stretch, result_);
}

void Bpe::encode_uncached(std::string_view stretch) {
  add_characters(stretch);
  merge_all();
  result_.clear();
  for (const Symbol& symbol : symbols_) {
    if (symbol.next != kRemoved) result_.push_back(symbol.id);
  }
}

void Bpe::add_characters(std::string_view stretch) {
  symbols_.clear();
  const auto add = [&](uint32_t id) { symbols_.push_back({id, kNone, kNone}); };
  bool holds_unk = false;  // an unknown token is pending: the next one may be fused with it
  for (size_t at = 0; at < stretch.size();) {
    const size_t size_bytes = utf8_length(stretch[at]);
    const uint32_t* id = character_id(stretch, at, size_bytes);
    if (id != nullptr) {
      if (holds_unk) add(unk_id());
      holds_unk = false;
      add(*id);
    } else if (options_.byte_fallback && add_bytes(decorated_)) {
      // A pending unknown token stays pending and moves after these bytes, as in the reference.
    } else if (options_.unk_token) {
      if (holds_unk && !options_.fuse_unk) add(unk_id());
      holds_unk = true;
    }
    at += size_bytes;
    check_count(stretch);
  }
  if (holds_unk) add(unk_id());
}

/// Symbol positions are 32-bit.
void Bpe::check_count(std::string_view stretch) const {
  constexpr size_t kMaxSymbols = size_t{1} << 30;
  if (symbols_.size() <= kMaxSymbols) return;
  throw Error(ErrorKind::kInput,
              fmt::format("a stretch of {} bytes of text cannot be cut into words for this "
                          "tokenizer; give the text in parts",
                          stretch.size()));
}

/// The id of a character with its prefix and suffix. If it has none, returns nullptr and leaves the
/// decorated character in decorated_.
const uint32_t* Bpe::character_id(std::string_view stretch, size_t begin, size_t size_bytes) {
  const bool prefixed = begin > 0 && !options_.continuing_subword_prefix.empty();
  const bool suffixed =
      begin + size_bytes == stretch.size() && !options_.end_of_word_suffix.empty();
  if (!prefixed && !suffixed) {
    const uint32_t* id = characters_.find(decode_utf8(stretch, begin).code_point);
    if (id == nullptr) decorated_ = stretch.substr(begin, size_bytes);
    return id;
  }
  decorated_ = prefixed ? options_.continuing_subword_prefix : "";
  decorated_ += stretch.substr(begin, size_bytes);
  if (suffixed) decorated_ += options_.end_of_word_suffix;
  const auto found = vocabulary_.find(decorated_);
  return found == vocabulary_.end() ? nullptr : &found->second;
}

bool Bpe::add_bytes(std::string_view character) {
  const auto id_of_byte = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  for (const char byte : character) {
    if (!id_of_byte(byte)) return false;
  }
  for (const char byte : character) symbols_.push_back({*id_of_byte(byte), kNone, kNone});
  return true;
}

uint32_t Bpe::unk_id() const {
  const std::optional<uint32_t> id = id_of(*options_.unk_token);
  if (id) return *id;
  throw Error(ErrorKind::kInput,
              fmt::format("unk_token '{}' is not in the vocabulary", *options_.unk_token));
}

namespace {

/// Heap order: lowest rank on top, then leftmost position.
template <class Candidate>
bool is_worse(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

/// Pushes the pair that starts at a symbol, if it can merge. The caller restores the heap order.
void Bpe::offer(int32_t position) {
  const Symbol& left = symbols_[static_cast<size_t>(position)];
  if (left.next < 0) return;
  const Symbol& right = symbols_[static_cast<size_t>(left.next)];
  const Merge* merge = merges_.find(pair_key(left.id, right.id));
  if (merge == nullptr) return;
  heap_.push_back({merge->rank, position, merge->id});
}

void Bpe::merge_all() {
  const auto count = static_cast<int32_t>(symbols_.size());
  for (int32_t i = 0; i < count; ++i) {
    symbols_[static_cast<size_t>(i)].previous = i - 1;  // kNone for the first
    symbols_[static_cast<size_t>(i)].next = i + 1 < count ? i + 1 : kNone;
  }
  heap_.clear();
  for (int32_t i = 0; i + 1 < count; ++i) offer(i);
  std::make_heap(heap_.begin(), heap_.end(), is_worse<Candidate>);
  const auto offer_later = [&](int32_t position) {
    const size_t before = heap_.size();
    offer(position);
    if (heap_.size() > before) std::push_heap(heap_.begin(), heap_.end(), is_worse<Candidate>);
  };
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), is_worse<Candidate>);
    heap_.pop_back();
    Symbol& left = symbols_[static_cast<size_t>(best.position)];
    if (left.next < 0) continue;  // removed, or the last symbol
    Symbol& right = symbols_[static_cast<size_t>(left.next)];
    const Merge* merge = merges_.find(pair_key(left.id, right.id));
    if (merge == nullptr || merge->id != best.id) continue;  // stale: a neighbour has changed
    left.id = best.id;
    left.next = right.next;
    right.next = kRemoved;
    if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = best.position;
    if (left.previous >= 0) offer_later(left.previous);
    offer_later(best.position);
  }
}

}  // namespace prune::tokenizer
