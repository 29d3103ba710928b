#include "unigram.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace prune::tokenizer {
namespace {

std::vector<std::pair<std::string_view, uint32_t>> with_ids(const ScoredTokens& tokens) {
  // A search visits as many nodes as the longest token has bytes, at every position of a text.
  constexpr size_t kMaxBytes = 512;
  constexpr size_t kMaxTotalBytes = size_t{16} << 20;  // each may need a node; real ones have 3 MB
  std::vector<std::pair<std::string_view, uint32_t>> listed;
  listed.reserve(tokens.size());
  size_t total_bytes = 0;
  for (const auto& [token, score] : tokens) {
    total_bytes += token.size();
    if (total_bytes > kMaxTotalBytes) {
      throw Error(ErrorKind::kInput,
                  fmt::format("the tokens have more than {} bytes together", kMaxTotalBytes));
    }
    if (token.size() > kMaxBytes) {
      throw Error(ErrorKind::kInput, fmt::format("a token of {} bytes is over the limit of {}",
                                                 token.size(), kMaxBytes));
    }
    if (!std::isfinite(score)) {
      throw Error(ErrorKind::kInput,
                  fmt::format("the score of '{}' is not finite", printable(token)));
    }
    listed.emplace_back(token, static_cast<uint32_t>(listed.size()));
  }
  return listed;
}

}  // namespace

Unigram::Unigram(const ScoredTokens& tokens, std::optional<size_t> unk_id, bool byte_fallback)
    : trie_(with_ids(tokens)) {
  if (unk_id && *unk_id >= tokens.size()) {
    throw Error(ErrorKind::kInput, fmt::format("unk_id {} is not the id of one of the {} tokens",
                                               *unk_id, tokens.size()));
  }
  if (unk_id) unk_id_ = static_cast<uint32_t>(*unk_id);
  ids_.reserve(tokens.size());
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : tokens) {
    const auto entry = ids_.insert_or_assign(token, static_cast<uint32_t>(scores_.size())).first;
    texts_.push_back(&entry->first);
    scores_.push_back(score);
    lowest = std::min(lowest, score);
  }
  constexpr double kUnkPenalty = 10;
  unk_score_ = lowest - kUnkPenalty;
  if (!byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    byte_ids_.push_back(id_of(fmt::format("<0x{:02X}>", byte)));
}

std::optional<uint32_t> Unigram::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> Unigram::token_of(uint32_t id) {
  return id < texts_.size() ? std::optional<std::string_view>(*texts_[id]) : std::nullopt;
}

void Unigram::encode(std::string_view piece, std::vector<int64_t>& ids) {
  const std::span<const uint32_t> known = cache_.find(piece);
  if (known.data() != nullptr) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  find_best_cuts(piece);
  collect(piece);
  ids.insert(ids.end(), result_.begin(), result_.end());
  cache_.put(piece, result_);
}

void Unigram::find_best_cuts(std::string_view piece) {
  if (piece.size() >= kNowhere) {
    throw Error(ErrorKind::kInput,
                fmt::format("a piece of {} bytes of text is too long for this tokenizer; give the "
                            "text in parts",
                            piece.size()));
  }
  best_.assign(piece.size() + 1, {});
  const auto offer = [&](size_t begin, size_t end, uint32_t id, double score) {
    Best& best = best_[end];
    if (best.begin != kNowhere && score <= best.score) return;  // the first of equals stays
    best = {score, id, static_cast<uint32_t>(begin)};
  };
  for (size_t begin = 0; begin < piece.size();) {
    const double before = best_[begin].score;
    const size_t size_bytes = utf8_length(piece[begin]);
    bool has_character = false;
    trie_.for_each_prefix(piece.substr(begin), [&](size_t size, uint32_t id) {
      offer(begin, begin + size, id, scores_[id] + before);
      has_character = has_character || size == size_bytes;
    });
    if (!has_character) {
      const Best& best = best_[begin + size_bytes];
      const double score = unk_score_ + before;
      if (best.begin == kNowhere || score > best.score) {
        offer(begin, begin + size_bytes, unk_id(), score);
      }
    }
    begin += size_bytes;
  }
}

/// Follows the best cuts from the end of the piece and joins adjacent unknown tokens.
void Unigram::collect(std::string_view piece) {
  tokens_.clear();
  bool joins = false;  // the token added last is unknown
  for (size_t end = piece.size(); end > 0; end = best_[end].begin) {
    const Best& best = best_[end];
    const bool is_unk = unk_id_ && best.id == *unk_id_;
    if (is_unk && joins) {
      const std::string_view after = tokens_.back();
      tokens_.back() = piece.substr(best.begin, end - best.begin + after.size());
    } else {
      tokens_.push_back(piece.substr(best.begin, end - best.begin));
    }
    joins = is_unk;
  }
  result_.clear();
  for (auto token = tokens_.rbegin(); token != tokens_.rend(); ++token) add_token(*token);
}

void Unigram::add_token(std::string_view text) {
  if (const std::optional<uint32_t> id = id_of(text)) {
    result_.push_back(*id);
  } else if (!add_bytes(text)) {
    result_.push_back(unk_id());
  }
}

bool Unigram::add_bytes(std::string_view text) {
  if (byte_ids_.empty()) return false;
  const auto id_of_byte = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (!std::ranges::all_of(text, [&](char byte) { return id_of_byte(byte).has_value(); })) {
    return false;
  }
  for (const char byte : text) result_.push_back(*id_of_byte(byte));
  return true;
}

uint32_t Unigram::unk_id() const {
  if (unk_id_) return *unk_id_;
  throw Error(ErrorKind::kInput,
              "the text has a character that no token covers, and the tokenizer names no unk_id");
}

}  // namespace prune::tokenizer
