#pragma once

#include <prune/core/progress.h>
#include <prune/models/model.h>
#include <prune/tokenizer/tokenizer.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace prune::chat {
struct TemplateChoice;
}

namespace prune::evaluation {

struct MultipleChoiceItem {
  std::string context;
  std::vector<std::string>
      choices;           ///< each continues the context; after a blank, except in a chat
  int64_t answer = 0;    ///< index of the right choice
  bool is_chat = false;  ///< a chat template rendered the context
};

/// Reads rows {"context": text, "choices": [text, ...], "answer": index} of a .jsonl, .json or .parquet file. In
/// place of `context`, `messages`, `prompt` or `instruction` with `input` ask in a chat
/// (chat::question_of()).
/// @throws Error(input) naming file and line, also for a chat if the checkpoint has no template.
std::vector<MultipleChoiceItem> read_task(const std::filesystem::path& file,
                                          const chat::TemplateChoice& templates);

struct MultipleChoiceResult {
  std::string source;
  std::string dtype;      ///< the model's computing dtype
  double accuracy = 0.0;  ///< fraction of items whose answer has the largest log-likelihood
  /// Fraction of items whose answer has the largest log-likelihood per character of the choice.
  double normalized = 0.0;
  int64_t cut = 0;  ///< requests shortened at the left to the model's number of positions
  std::vector<std::vector<double>> loglikelihoods;  ///< [items][choices], sums over tokens, in nats

  int64_t items() const { return static_cast<int64_t>(loglikelihoods.size()); }
};

struct TaskOptions {
  std::filesystem::path scratch;  ///< folder for hidden states that do not fit into memory
  tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto;
};

/// Zero-shot accuracy, defined as in lm-evaluation-harness' multiple_choice tasks (`acc` and `acc_norm`).
/// Context and choice are encoded together, with the special tokens that the tokenizer adds (a chat has those of its
/// template); blanks at the context's end belong to the choice. In place of an empty context stands BOS, or EOS
/// without one. The model runs block by block over all requests, which are padded to a few lengths.
/// @throws Error(input) naming the item if an id is beyond the model's vocabulary or a context has no tokens;
///         Error(numeric) naming it when a log-likelihood is not finite.
MultipleChoiceResult multiple_choice(const models::Model& model,
                                     const tokenizer::Tokenizer& tokenizer,
                                     const std::vector<MultipleChoiceItem>& items,
                                     const TaskOptions& options, Progress& progress);

/// Includes the standard errors of both accuracies.
nlohmann::json to_json(const MultipleChoiceResult& result);

}  // namespace prune::evaluation
