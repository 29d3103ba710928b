#pragma once

#include <prune/calibration/calibration_set.h>
#include <prune/core/error.h>

#include <cstdint>
#include <string>
#include <vector>

namespace prune::calibration {

/// Turns conversations into ids, one after the other, and counts those that the template does not render.
class ConversationEncoder {
 public:
  /// @param about  gets the counts of drawn and refused rows, tokens and BOS
  ConversationEncoder(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                      tokenizer::AddBos add_bos, TextDescription& about)
      : text_(text), tokenizer_(tokenizer), add_bos_(add_bos), about_(about) {}

  /// The ids of a row; empty if the template refuses it.
  /// @throws Error(input) if it refuses most rows, with the first reason.
  std::vector<int64_t> encode(int64_t row);

  /// What to throw if no row gave a token.
  Error no_tokens() const;
  /// Logs the counts and adds refused rows to the guesses.
  void finish();

 private:
  std::vector<int64_t> encode_accepted(const std::string& document) const;

  const TextSource& text_;
  const tokenizer::Tokenizer& tokenizer_;
  tokenizer::AddBos add_bos_;
  TextDescription& about_;
  std::string first_refusal_;
};

/// Samples of conversations in random sequence, each sample a window that starts with a conversation: the last one is
/// cut at its end (src/calibration/README.md, "Sampling").
/// @return [nsamples, seqlen] int64
/// @throws Error(input) if no row gives a token.
Tensor sample_conversations(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options, TextDescription& about);

/// The ids of all conversations, one after the other.
std::vector<int64_t> encode_conversations(const TextSource& text,
                                          const tokenizer::Tokenizer& tokenizer,
                                          tokenizer::AddBos add_bos, TextDescription& about);

}  // namespace prune::calibration
