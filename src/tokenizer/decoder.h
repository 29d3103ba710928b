#pragma once

#include <prune/core/json_file.h>

#include <functional>
#include <string>
#include <vector>

namespace prune::tokenizer {

/// Turns tokens into text: "decoder" of tokenizer.json (src/tokenizer/README.md, "Decoding").
class Decoder {
 public:
  /// Null joins the tokens with spaces. Never throws: a folder whose decoder is not supported still encodes.
  explicit Decoder(const json& description = json());

  /// @throws Error(input) with the name of a component that is not supported, or if a step expands the
  ///         tokens too far.
  std::string operator()(std::vector<std::string> tokens) const;
  /// True if tokens like <0xE2> stand for bytes.
  bool has_byte_fallback() const { return has_byte_fallback_; }

 private:
  using Step = std::function<void(std::vector<std::string>&)>;
  void add_steps(const json& description);
  static Step make_step(const json& description);

  std::vector<Step> steps_;
  bool joins_with_spaces_ = false;
  bool has_byte_fallback_ = false;
  std::string error_;  // why the description is refused; empty if it is not
};

/// True if a token has the form <0xHH>, which ByteFallback takes for a byte.
bool is_byte_token(std::string_view token);

}  // namespace prune::tokenizer
