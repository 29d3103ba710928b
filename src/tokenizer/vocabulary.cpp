#include "vocabulary.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace prune::tokenizer {
namespace {

/// Reads the shortest decimal form of a number as serde_json does: digits as an integer, rounded, then
/// multiplied or divided by a power of ten, rounded again. Sums of scores that tie or nearly tie depend on it.
double score_of(double value) {
  std::array<char, 64> buffer{};
  const char* end =
      std::to_chars(buffer.begin(), buffer.end(), value, std::chars_format::scientific).ptr;
  uint64_t digits = 0;
  int exponent = 0;
  bool in_fraction = false;
  const char* at = buffer.data();
  const bool negative = *at == '-';
  if (negative) ++at;
  for (; at != end && *at != 'e'; ++at) {
    if (*at == '.') {
      in_fraction = true;
      continue;
    }
    digits = 10 * digits + static_cast<uint64_t>(*at - '0');
    exponent -= in_fraction ? 1 : 0;
  }
  if (at == end) return value;  // not finite
  int written = 0;
  std::from_chars(at + (at[1] == '+' ? 2 : 1), end, written);
  exponent += written;
  constexpr int kMaxPower = 308;
  auto result = static_cast<double>(digits);
  for (; exponent < -kMaxPower; exponent += kMaxPower) result /= 1e308;
  const double power = std::strtod(fmt::format("1e{}", std::abs(exponent)).c_str(), nullptr);
  result = exponent >= 0 ? result * power : result / power;
  return negative ? -result : result;
}

}  // namespace

Vocabulary read_vocabulary(const json& vocab) {
  if (!vocab.is_object()) throw Error(ErrorKind::kInput, "the vocabulary is not a JSON object");
  Vocabulary vocabulary;
  vocabulary.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    constexpr uint64_t kLargest = std::numeric_limits<int32_t>::max();
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kLargest) {
      throw Error(ErrorKind::kInput,
                  fmt::format("the vocabulary's id of '{}' is {}, which is not a token id", token,
                              id.dump()));
    }
    vocabulary.emplace(token, id.get<uint32_t>());
  }
  return vocabulary;
}

ScoredTokens read_scored_tokens(const json& vocab) {
  if (!vocab.is_array()) throw Error(ErrorKind::kInput, "key 'vocab' is not a JSON array");
  ScoredTokens tokens;
  tokens.reserve(vocab.size());
  for (const json& entry : vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      throw Error(ErrorKind::kInput, fmt::format("vocab: {} is not a pair of a token and its score",
                                                 json_text(entry, -1).substr(0, 60)));
    }
    tokens.emplace_back(entry[0].get<std::string>(), score_of(entry[1].get<double>()));
  }
  return tokens;
}

}  // namespace prune::tokenizer
