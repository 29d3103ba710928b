#pragma once

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/nearest.h>

#include <map>
#include <string>
#include <vector>

namespace prune::cli {

/// What a word of a flag means. @throws Error(usage) naming the flag, the known words and the nearest of them.
template <class T>
T one_of(const std::string& flag, const std::string& value, const std::map<std::string, T>& known) {
  const auto found = known.find(value);
  if (found != known.end()) return found->second;
  std::vector<std::string> words;
  for (const auto& [word, meaning] : known) words.push_back(word);
  throw Error(ErrorKind::kUsage, fmt::format("{} '{}' is not one of {}{}", flag, value,
                                             fmt::join(words, ", "), did_you_mean(value, words)));
}

}  // namespace prune::cli
