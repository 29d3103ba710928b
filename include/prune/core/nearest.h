#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace prune {

/// The known word with the smallest edit distance, for "did you mean"; empty if every distance exceeds
/// half the length of `word`.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

/// "; did you mean 'X'?" with `before` and the nearest word as X; empty if there is none.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known,
                         const std::string& before = "");

}  // namespace prune
