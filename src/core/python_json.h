#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prune {

/// Python's json reads and writes what JSON lacks: NaN, Infinity, -Infinity, numbers beyond a double's
/// range, and halves of surrogate pairs. This rewrites them for a strict parser: a number becomes a string that
/// number_behind() recognises, half a pair becomes U+FFFD. All other text stays as it is.
std::string without_python_extensions(std::string_view text);

/// The number that a string written by without_python_extensions() stands for.
std::optional<double> number_behind(std::string_view value);

/// Undoes the rewriting of NaN, Infinity and -Infinity in serialised JSON.
std::string with_python_numbers(std::string text);

}  // namespace prune
