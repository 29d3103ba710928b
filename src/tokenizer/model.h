#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace prune::tokenizer {

/// Cuts one piece of text into the tokens of a vocabulary, and names the tokens.
class Model {
 public:
  virtual ~Model() = default;
  /// Appends the ids of one piece of valid UTF-8. Not thread-safe: it caches.
  virtual void encode(std::string_view piece, std::vector<int64_t>& ids) = 0;
  virtual std::optional<uint32_t> id_of(std::string_view token) const = 0;
  /// The token of an id; valid as long as the model. Not thread-safe: the first call may build an index.
  virtual std::optional<std::string_view> token_of(uint32_t id) = 0;
  /// Number of tokens.
  virtual size_t size() const = 0;
  /// One more than the largest id.
  virtual int64_t end_id() const = 0;
};

}  // namespace prune::tokenizer
