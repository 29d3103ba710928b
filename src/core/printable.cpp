#include <fmt/format.h>
#include <prune/core/printable.h>

namespace prune {

std::string printable(std::string_view text, size_t limit_bytes) {
  std::string shown;
  for (const char c : text.substr(0, limit_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return text.size() > limit_bytes ? shown + "..." : shown;
}

std::string markup_escaped(std::string_view text) {
  std::string result;
  for (const char c : printable(text, text.size())) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace prune
