#pragma once

#include <prune/generation/sampler.h>
#include <prune/pipeline/prune_run.h>

#include <functional>
#include <string>
#include <vector>

namespace prune::pipeline {

struct GenerateOptions {
  ModelChoice model;
  std::string prompt;
  bool chat = false;          ///< the prompt is what a user says to a chat model
  std::string chat_template;  ///< as chat::TemplateChoice::name
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
  int64_t max_tokens = 128;
  int64_t head_bits = 16;  ///< as models::ModelOptions has it
  generation::Sampling sampling;
};

struct Generated {
  int64_t prompt_tokens = 0;
  std::vector<int64_t> ids;  ///< without the token that ended the text
  std::string text;
  /// "end": the model ended the text; "tokens": there are max_tokens; "positions": the model reads no longer text
  std::string stopped_by;
  std::string dtype;
  double load_s = 0.0;
  double prompt_s = 0.0;  ///< until the first token
  double decode_s = 0.0;  ///< of the tokens after the first
};

/// Continues a text.
/// @param on_text receives the text as it grows, whole characters only
/// @throws Error(input) if the prompt has no token or is longer than the model's positions, or for chat without a
///         template.
Generated generate(const GenerateOptions& options,
                   const std::function<void(const std::string&)>& on_text);

}  // namespace prune::pipeline
