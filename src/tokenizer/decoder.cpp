#include "decoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "byte_level.h"
#include "normalizer.h"
#include "pre_tokenizer.h"

namespace prune::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

size_t total_bytes(const Tokens& tokens) {
  size_t total = 0;
  for (const std::string& token : tokens) total += token.size();
  return total;
}

std::string joined(const Tokens& tokens) {
  std::string text;
  text.reserve(total_bytes(tokens));
  for (const std::string& token : tokens) text += token;
  return text;
}

void fuse_(Tokens& tokens) { tokens = {joined(tokens)}; }

/// Joins the bytes of all tokens before it decodes UTF-8, as one character may span several tokens. A token with a
/// character that represents no byte is kept as text; added tokens may have one.
void byte_level_(Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    if (!append_represented_bytes(bytes, token)) bytes += token;
  }
  std::string storage;
  tokens = {std::string(valid_utf8(bytes, storage))};
}

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  std::string_view digits = token.substr(3, 2);
  if (digits.starts_with('+')) digits.remove_prefix(1);  // Rust's from_str_radix takes a sign
  uint8_t byte = 0;
  const auto [end, code] = std::from_chars(digits.begin(), digits.end(), byte, 16);
  if (code != std::errc() || end != digits.end()) return std::nullopt;
  return static_cast<char>(byte);
}

/// A run of byte tokens becomes its text, or one U+FFFD per byte if it is not valid UTF-8 as a whole.
void byte_fallback_(Tokens& tokens) {
  Tokens result;
  std::string run;
  const auto end_run = [&] {
    if (run.empty()) return;
    const bool valid = first_invalid_utf8(run) == run.size();
    if (valid) result.push_back(run);
    if (!valid) result.insert(result.end(), run.size(), "\xEF\xBF\xBD");
    run.clear();
  };
  for (std::string& token : tokens) {
    if (const std::optional<char> byte = byte_of(token)) {
      run.push_back(*byte);
      continue;
    }
    end_run();
    result.push_back(std::move(token));
  }
  end_run();
  tokens = std::move(result);
}

/// Changes each token by itself.
template <class Change>
auto each(Change change) {
  return [change = std::move(change)](Tokens& tokens) {
    const size_t before = total_bytes(tokens);
    size_t now = before;
    for (std::string& token : tokens) {
      now -= token.size();
      if (!token.empty()) change(token);
      now += token.size();
      check_growth(before, now, "decoder");
    }
  };
}

auto metaspace(const json& description) {
  const MetaspaceRule rule = read_metaspace(description);
  const bool drops_first = rule.scheme != PrependScheme::kNever;
  return [mark = rule.replacement, drops_first](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view space = i == 0 && drops_first ? "" : " ";
      std::string& token = tokens[i];
      for (size_t at = 0; (at = token.find(mark, at)) != std::string::npos; at += space.size()) {
        token.replace(at, mark.size(), space);
      }
    }
  };
}

auto strip(const json& description) {
  const auto content = require<std::string>(description, "content");
  if (content.empty() || utf8_length(content[0]) != content.size()) {
    throw Error(ErrorKind::kInput,
                fmt::format("Strip: content '{}' is not one character", content));
  }
  const auto start = require<size_t>(description, "start");
  const auto stop = require<size_t>(description, "stop");
  return each([=](std::string& token) {
    std::string_view rest = token;
    for (size_t i = 0; i < start && rest.starts_with(content); ++i) {
      rest.remove_prefix(content.size());
    }
    for (size_t i = 0; i < stop && rest.ends_with(content); ++i) rest.remove_suffix(content.size());
    token = std::string(rest);
  });
}

/// The suffix that ends a word becomes a space, or nothing after the last word.
auto bpe_decoder(const json& description) {
  const auto suffix = require<std::string>(description, "suffix");
  const auto to = [&](const char* content) {
    return replace_normalizer({{"pattern", {{"String", suffix}}}, {"content", content}}, "decoder");
  };
  return [inside = each(to(" ")), at_end = to("")](Tokens& tokens) {
    if (tokens.empty()) return;
    std::string last = std::move(tokens.back());
    tokens.pop_back();
    inside(tokens);
    if (!last.empty()) at_end(last);
    tokens.push_back(std::move(last));
  };
}

}  // namespace

bool is_byte_token(std::string_view token) { return byte_of(token).has_value(); }

Decoder::Step Decoder::make_step(const json& description) {
  const auto type = require<std::string>(description, "type");
  if (type == "ByteLevel") return byte_level_;
  if (type == "ByteFallback") return byte_fallback_;
  if (type == "Fuse") return fuse_;
  if (type == "Replace") return each(replace_normalizer(description, "decoder"));
  if (type == "Strip") return strip(description);
  if (type == "Metaspace") return metaspace(description);
  if (type == "BPEDecoder") return bpe_decoder(description);
  throw Error(ErrorKind::kInput, fmt::format("decoder '{}' is not supported", type));
}

/// Flattens nested sequences.
void Decoder::add_steps(const json& description) {
  constexpr size_t kMaxSteps = 64;  // real tokenizers have about four
  const auto type = require<std::string>(description, "type");
  if (type == "Sequence") {
    for (const json& step : require<json>(description, "decoders")) add_steps(step);
    return;
  }
  if (steps_.size() == kMaxSteps) {
    throw Error(ErrorKind::kInput, fmt::format("decoder: more than {} steps", kMaxSteps));
  }
  has_byte_fallback_ = has_byte_fallback_ || type == "ByteFallback";
  steps_.push_back(make_step(description));
}

Decoder::Decoder(const json& description) : joins_with_spaces_(description.is_null()) {
  if (joins_with_spaces_) return;
  try {
    add_steps(description);
  } catch (const Error& error) {
    error_ = error.what();
  } catch (const json::exception& error) {
    error_ = fmt::format("decoder: {}", error.what());
  }
}

std::string Decoder::operator()(std::vector<std::string> tokens) const {
  if (!error_.empty()) {
    throw Error(ErrorKind::kInput, fmt::format("the tokenizer cannot decode: {}", error_));
  }
  if (joins_with_spaces_) return fmt::format("{}", fmt::join(tokens, " "));
  const size_t before = total_bytes(tokens);
  for (const Step& step : steps_) {
    step(tokens);
    check_growth(before, total_bytes(tokens), "decoder");
  }
  return joined(tokens);
}

}  // namespace prune::tokenizer
