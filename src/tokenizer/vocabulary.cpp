#include "vocabulary.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <limits>

namespace prune::tokenizer {

Vocabulary read_vocabulary(const json& vocab) {
  if (!vocab.is_object()) throw Error(ErrorKind::kInput, "the vocabulary is not a JSON object");
  Vocabulary vocabulary;
  vocabulary.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    constexpr uint64_t kLargest = std::numeric_limits<int32_t>::max();
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kLargest) {
      throw Error(ErrorKind::kInput,
                  fmt::format("the vocabulary's id of '{}' is {}, which is not a token id", token,
                              id.dump()));
    }
    vocabulary.emplace(token, id.get<uint32_t>());
  }
  return vocabulary;
}

}  // namespace prune::tokenizer
