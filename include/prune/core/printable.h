#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prune {

/// Makes text from a file safe to print: escapes control characters, so that a message stays on one line
/// and cannot control the terminal, and truncates after `limit_bytes`.
std::string printable(std::string_view text, size_t limit_bytes = 160);

/// Makes text safe for HTML and XML: escapes control characters and markup, without truncating.
std::string markup_escaped(std::string_view text);

}  // namespace prune
