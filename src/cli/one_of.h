#pragma once

#include <fmt/format.h>
#include <prune/core/error.h>

#include <map>
#include <string>

namespace prune::cli {

/// What a word of a flag means. @throws Error(usage) naming the flag and the known words.
template <class T>
T one_of(const std::string& flag, const std::string& value, const std::map<std::string, T>& known) {
  const auto found = known.find(value);
  if (found != known.end()) return found->second;
  std::string words;
  for (const auto& [word, meaning] : known) words += (words.empty() ? "" : ", ") + word;
  throw Error(ErrorKind::kUsage, fmt::format("{} '{}' is not one of {}", flag, value, words));
}

}  // namespace prune::cli
