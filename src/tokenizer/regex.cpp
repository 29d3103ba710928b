#include "regex.h"

#include <fmt/format.h>
#include <oniguruma.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <string>

namespace prune::tokenizer {
namespace {

const OnigUChar* bytes_of(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(text.data());
}

std::string reason_of(int code, OnigErrorInfo* info = nullptr) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = onig_error_code_to_str(buffer, code, info);
  return {reinterpret_cast<const char*>(buffer), static_cast<size_t>(length)};
}

void initialize_once() {
  static const int kStatus = [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    return onig_initialize(encodings, 1);
  }();
  if (kStatus != ONIG_NORMAL) throw Error(ErrorKind::kInternal, reason_of(kStatus));
}

}  // namespace

void Regex::Free::operator()(re_pattern_buffer* regex) const { onig_free(regex); }
void Regex::Free::operator()(re_registers* region) const { onig_region_free(region, 1); }
void Regex::Free::operator()(OnigMatchParamStruct* parameters) const {
  onig_free_match_param(parameters);
}

Regex::Regex(std::string_view pattern) {
  initialize_once();
  OnigRegex regex = nullptr;
  OnigErrorInfo info{};
  const int status = onig_new(&regex, bytes_of(pattern), bytes_of(pattern) + pattern.size(),
                              ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_ONIGURUMA, &info);
  if (status != ONIG_NORMAL) {
    throw Error(ErrorKind::kInput,
                fmt::format("regular expression '{}': {}", pattern, reason_of(status, &info)));
  }
  regex_.reset(regex);
  region_.reset(onig_region_new());
  parameters_.reset(onig_new_match_param());
  onig_initialize_match_param(parameters_.get());
}

std::optional<Span> Regex::find(std::string_view text, size_t from) const {
  const OnigUChar* begin = bytes_of(text);
  const OnigUChar* end = begin + text.size();
  // By default the library limits the steps per start position to a fixed number, which a run of ten
  // million spaces exceeds. Limit the whole search instead, in proportion to the text.
  constexpr size_t kAlwaysAllowed = 1'000'000;
  constexpr size_t kPerByte = 16;
  const size_t limit = kAlwaysAllowed + kPerByte * (text.size() - from);
  onig_set_retry_limit_in_match_of_match_param(parameters_.get(), limit);
  onig_set_retry_limit_in_search_of_match_param(parameters_.get(), limit);
  const int at = onig_search_with_param(regex_.get(), begin, end, begin + from, end, region_.get(),
                                        ONIG_OPTION_NONE, parameters_.get());
  if (at == ONIG_MISMATCH) return std::nullopt;
  if (at < 0) {
    throw Error(ErrorKind::kInput,
                fmt::format("a regular expression of the tokenizer failed at byte {} of a text of "
                            "{} bytes: {}",
                            from, text.size(), reason_of(at)));
  }
  if (region_->beg[0] < static_cast<int>(from)) {
    throw Error(ErrorKind::kInput,
                fmt::format("a regular expression of the tokenizer matches at byte {} in a search "
                            "from {}",
                            region_->beg[0], from));
  }
  return Span{static_cast<size_t>(region_->beg[0]), static_cast<size_t>(region_->end[0])};
}

std::optional<Span> RegexMatches::next() {
  while (from_ <= text_.size()) {
    const std::optional<Span> found = regex_.find(text_, from_);
    if (!found) break;
    const bool repeats = found->begin == found->end && last_end_ == found->end;
    if (!repeats) {
      from_ = found->end;
      last_end_ = found->end;
      return found;
    }
    from_ += from_ < text_.size() ? utf8_length(text_[from_]) : 1;
  }
  from_ = text_.size() + 1;
  return std::nullopt;
}

Regex literal_regex(std::string_view text) {
  constexpr std::string_view kMeta = R"(\.+*?()|[]{}^$#&-~)";
  std::string pattern;
  for (const char c : text) {
    if (kMeta.find(c) != std::string_view::npos) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return Regex(pattern);
}

}  // namespace prune::tokenizer
