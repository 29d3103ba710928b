#include "llama_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "sentencepiece_model.h"

namespace prune::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr DefaultTokens kDefaults = {.bos = "<s>", .eos = "</s>", .unk = "<unk>"};

void check_kind(const SentencePieceModel& model, const TokenizerConfig& config) {
  const auto fail = [](const std::string& reason) {
    throw Error(ErrorKind::kInput, fmt::format("not supported without tokenizer.json: {}", reason));
  };
  if (!config.tokenizer_class.empty() && config.tokenizer_class != "LlamaTokenizer") {
    fail(fmt::format("tokenizer_class is '{}'", config.tokenizer_class));
  }
  if (model.kind != SentencePieceModel::Kind::kBpe) fail("the model type is not BPE");
  if (model.has_normalization_table) fail("the model normalises text by a table");
}

Vocabulary vocabulary_of(const SentencePieceModel& model) {
  Vocabulary vocabulary;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    std::string storage;
    vocabulary[std::string(valid_utf8(model.pieces[id].text, storage))] = static_cast<uint32_t>(id);
  }
  return vocabulary;
}

/// SentencePiece merges the pair whose joined piece has the best score, and scores fall with the id. So
/// every way to cut a piece into two other pieces is a merge. Cuts of the same piece are ranked as in
/// Transformers (generate_merges).
Merges merges_of(const Vocabulary& vocabulary) {
  struct Candidate {
    std::tuple<uint32_t, int64_t, int64_t> key;  // piece id, length of left, length of right
    std::pair<std::string, std::string> parts;
  };
  std::vector<Candidate> candidates;
  for (const auto& [piece, id] : vocabulary) {
    const std::string_view whole = piece;
    for (size_t at = 0; at < whole.size(); at += utf8_length(whole[at])) {
      const std::string_view left = whole.substr(0, at);
      const std::string_view right = whole.substr(at);
      if (left.empty() || !vocabulary.contains(left) || !vocabulary.contains(right)) continue;
      candidates.push_back({{id, character_count(left), character_count(right)},
                            {std::string(left), std::string(right)}});
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.key < b.key; });
  Merges merges;
  for (Candidate& candidate : candidates) merges.push_back(std::move(candidate.parts));
  return merges;
}

PreTokenizer spaces_as_marks(const TokenizerConfig& config) {
  const char* scheme = "never";
  if (config.add_prefix_space.value_or(true)) scheme = config.legacy ? "always" : "first";
  return make_pre_tokenizer({{"type", "Metaspace"},
                             {"replacement", "\xE2\x96\x81"},
                             {"prepend_scheme", scheme},
                             {"split", false}});
}

}  // namespace

TokenizerParts read_llama_files(const std::filesystem::path& folder,
                                const TokenizerConfig& config) {
  const std::filesystem::path path = folder / "tokenizer.model";
  const SentencePieceModel model = read_sentencepiece_model(path);
  try {
    check_kind(model, config);
    Vocabulary vocabulary = vocabulary_of(model);
    const Merges merges = merges_of(vocabulary);
    BpeOptions options;
    options.fuse_unk = true;
    options.byte_fallback = true;
    TokenizerParts parts{.added_tokens = {},
                         .normalizer = nullptr,
                         .pre_tokenizer = spaces_as_marks(config),
                         .model = Bpe(std::move(vocabulary), merges, options),
                         .post_processor = nullptr,
                         .bos_id = std::nullopt};
    for (const SentencePieceModel::Piece& piece : model.pieces) {
      if (piece.type != PieceType::kControl && piece.type != PieceType::kUserDefined) continue;
      parts.added_tokens.add({.content = piece.text, .normalized = false}, parts.model);
    }
    finish_with(config, kDefaults, parts);
    return parts;
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
}

}  // namespace prune::tokenizer
