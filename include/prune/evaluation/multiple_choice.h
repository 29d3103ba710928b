#pragma once

#include <prune/core/progress.h>
#include <prune/models/model.h>
#include <prune/tokenizer/tokenizer.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace prune::evaluation {

struct MultipleChoiceItem {
  std::string context;
  std::vector<std::string> choices;  ///< each goes on after the context and a blank
  int64_t answer = 0;                ///< index of the right choice
};

/// Reads a `.jsonl` of objects {"context": text, "choices": [text, ...], "answer": index}.
/// @throws Error(input) naming file and line.
std::vector<MultipleChoiceItem> read_task(const std::filesystem::path& file);

struct MultipleChoiceResult {
  std::string source;
  std::string dtype;      ///< in which the model was run
  double accuracy = 0.0;  ///< share of items whose answer has the largest log-likelihood
  double normalized =
      0.0;          ///< the same of the log-likelihood over the choice's number of characters
  int64_t cut = 0;  ///< requests that were cut at the left to the model's number of positions
  std::vector<std::vector<double>> loglikelihoods;  ///< [items][choices], sums over tokens, in nats

  int64_t items() const { return static_cast<int64_t>(loglikelihoods.size()); }
};

/// Zero-shot accuracy as lm-eval's multiple_choice tasks have it (`acc` and `acc_norm`): context and choice
/// are encoded together, special tokens as the tokenizer puts them, and blanks at the context's end count
/// as the choice's. The model runs block by block over all requests, which are padded to a few lengths.
/// @param scratch folder for the hidden states, if they fit into no memory.
/// @throws Error(numeric) naming the item when a log-likelihood is not finite.
MultipleChoiceResult multiple_choice(const models::Model& model,
                                     const tokenizer::Tokenizer& tokenizer,
                                     const std::vector<MultipleChoiceItem>& items,
                                     const std::filesystem::path& scratch, Progress& progress);

/// With the standard error of both accuracies.
nlohmann::json to_json(const MultipleChoiceResult& result);

}  // namespace prune::evaluation
