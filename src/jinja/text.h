#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prune::jinja {

/// Python's str methods on valid UTF-8, where they differ from bytes. Positions and lengths are code points.

/// str.isspace() of one character, and \s of Python's regular expressions.
bool is_space(char32_t c);

/// Byte offset of the code point `index`; text.size() if there are fewer.
size_t byte_offset(std::string_view text, int64_t index);

/// std::string_view::find in linear time.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);

enum class Side { kLeft, kRight, kBoth };
/// @param characters to strip; nullptr strips white space
std::string_view stripped(std::string_view text, const std::string_view* characters, Side side);

std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
std::string title_case(std::string_view text);
std::string capitalized(std::string_view text);

/// Number of parts split at most = max_splits + 1; max_splits < 0: no limit.
std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t max_splits, bool from_right);
std::vector<std::string_view> split_white_space(std::string_view text, int64_t max_splits,
                                                bool from_right);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

/// Occurrences that do not overlap.
int64_t count_text(std::string_view text, std::string_view part);
/// Bytes of replaced(), so that they can be reserved.
int64_t replaced_bytes(std::string_view text, std::string_view old, std::string_view with,
                       int64_t count);
/// @param count  at most; < 0: all
std::string replaced(std::string_view text, std::string_view old, std::string_view with,
                     int64_t count);

/// The predicates isalpha, isdigit, ... by name without "is".
bool all_characters(std::string_view text, std::string_view predicate);

/// markupsafe.escape
std::string escaped(std::string_view text);

/// Python's repr() of a string.
std::string python_quoted(std::string_view text);

/// Python's repr() of a float: the shortest decimal that reads back the same.
std::string float_text(double value);

/// Characters that a name of a variable may have. @param first whether it is the first one.
bool is_name_character(char32_t c, bool first);

}  // namespace prune::jinja
