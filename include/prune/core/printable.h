#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prune {

/// Text from a file as a message may show it: control characters escaped, so that the message stays
/// one line and the terminal is left alone, and cut where it is absurdly long.
std::string printable(std::string_view text, size_t limit_bytes = 160);

/// The same for HTML and XML, uncut: what they would read as markup is escaped too.
std::string markup_escaped(std::string_view text);

}  // namespace prune
