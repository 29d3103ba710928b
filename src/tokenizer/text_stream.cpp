#include <prune/tokenizer/tokenizer.h>

#include <algorithm>
#include <utility>

namespace prune::tokenizer {

TextStream::TextStream(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string TextStream::push(int64_t id) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // stands for half a character
  ids_.push_back(id);
  const std::vector<int64_t> window = ids_from(window_begin_);
  std::string text = tokenizer_.decode(window, skip_special_tokens_);
  const bool is_longer = text.size() > window_text_.size() && text.starts_with(window_text_);
  if (!is_longer || text.ends_with(kReplacement) ||
      !tokenizer_.is_settled(window, skip_special_tokens_)) {
    return "";
  }
  std::string added = text.substr(window_text_.size());
  sent_bytes_ += added.size();
  // Decoders drop the space at the start of a text. If the next window starts with ids whose text is known and
  // not empty, the drop affects only that text.
  std::string unread = tokenizer_.decode(ids_from(read_begin_), skip_special_tokens_);
  if (!unread.empty()) window_begin_ = read_begin_;
  window_text_ = unread.empty() ? std::move(text) : std::move(unread);
  read_begin_ = ids_.size();
  return added;
}

std::string TextStream::finish() {
  const std::string text = tokenizer_.decode(ids_, skip_special_tokens_);
  std::string rest = text.substr(std::min(sent_bytes_, text.size()));
  ids_.clear();
  window_text_.clear();
  window_begin_ = read_begin_ = sent_bytes_ = 0;
  return rest;
}

std::vector<int64_t> TextStream::ids_from(size_t begin) const {
  return {ids_.begin() + static_cast<std::ptrdiff_t>(begin), ids_.end()};
}

}  // namespace prune::tokenizer
