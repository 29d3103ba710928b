#include "sentencepiece_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "bpe.h"
#include "precompiled.h"
#include "sentencepiece_model.h"
#include "unigram.h"

namespace prune::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr std::string_view kClasses[] = {"CodeLlamaTokenizer", "GemmaTokenizer", "LlamaTokenizer"};

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

bool is_unigram(const SentencePieceModel& model) {
  return model.kind == SentencePieceModel::Kind::kUnigram;
}

/// True if the model decides on the rules, not a class.
bool follows_model(const TokenizerConfig& config) { return config.tokenizer_class.empty(); }

/// The rules of a folder that names no class of its own: those that TokenizersBackend reads from the model.
ClassRules rules_of_model(const SentencePieceModel& model) {
  ClassRules rules;
  rules.normalizer = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}};
  rules.decoder = mark_decoder(model.byte_fallback, false);
  rules.model.unk_token = model.unk_piece;
  rules.model.fuse_unk = true;
  rules.model.byte_fallback = model.byte_fallback;
  if (model.has_bos) rules.default_tokens.emplace_back("bos_token", model.bos_piece);
  if (model.has_eos) rules.default_tokens.emplace_back("eos_token", model.eos_piece);
  if (model.has_unk) rules.default_tokens.emplace_back("unk_token", model.unk_piece);
  return rules;
}

ClassRules rules_of(const SentencePieceModel& model, const TokenizerConfig& config) {
  const auto fail = [](const std::string& reason) {
    throw Error(ErrorKind::kInput, fmt::format("not supported without tokenizer.json: {}", reason));
  };
  const bool is_bpe = model.kind == SentencePieceModel::Kind::kBpe;
  if (!is_bpe && !is_unigram(model)) fail("the model type is neither BPE nor unigram");
  if (follows_model(config)) return rules_of_model(model);
  if (std::ranges::find(kClasses, config.tokenizer_class) == std::end(kClasses)) {
    fail(fmt::format("tokenizer_class is '{}'", config.tokenizer_class));
  }
  if (!is_bpe) fail(fmt::format("the model type is not BPE, as {} needs", config.tokenizer_class));
  return *class_rules(config);
}

Normalizer normalizer_of(const SentencePieceModel& model, const TokenizerConfig& config,
                         const ClassRules& rules) {
  Normalizer own = make_normalizer(rules.normalizer);
  if (model.normalization_table.empty()) return own;
  if (!follows_model(config)) {
    spdlog::info("tokenizer.model: {} ignores its table of text to replace, as in Transformers 5",
                 config.tokenizer_class);
    return own;
  }
  return [table = precompiled_normalizer(model.normalization_table),
          own = std::move(own)](std::string& text) {
    table(text);
    if (!text.empty()) own(text);
  };
}

std::unique_ptr<Model> make_model(const SentencePieceModel& model, const ClassRules& rules) {
  if (!is_unigram(model)) {
    Vocabulary vocabulary = vocabulary_of(model);
    const Merges merges = merges_of(vocabulary);
    return std::make_unique<Bpe>(std::move(vocabulary), merges, rules.model);
  }
  ScoredTokens tokens;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    std::string storage;
    tokens.emplace_back(valid_utf8(piece.text, storage), piece.score);
  }
  const auto unk_id = model.has_unk ? std::optional(model.unk_id) : std::nullopt;
  return std::make_unique<Unigram>(tokens, unk_id, model.byte_fallback);
}

TokenizerParts make_parts(const SentencePieceModel& model, const TokenizerConfig& config) {
  const ClassRules rules = rules_of(model, config);
  TokenizerParts parts{.added_tokens = {},
                       .normalizer = normalizer_of(model, config, rules),
                       .pre_tokenizer = make_pre_tokenizer(rules.pre_tokenizer),
                       .model = make_model(model, rules),
                       .post_processor = nullptr,
                       .decoder = Decoder(rules.decoder)};
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    if (piece.type != PieceType::kControl && piece.type != PieceType::kUserDefined) continue;
    parts.added_tokens.add(
        {.content = piece.text, .normalized = false, .special = piece.type == PieceType::kControl},
        *parts.model);
  }
  add_tokens_of_class(config, rules, parts);
  parts.post_processor = bos_and_eos(config, rules, parts);
  apply_config(config, rules, parts);
  return parts;
}

}  // namespace

TokenizerParts read_sentencepiece_files(const std::filesystem::path& folder,
                                        const TokenizerConfig& config) {
  const std::filesystem::path path = folder / "tokenizer.model";
  const SentencePieceModel model = read_sentencepiece_model(path);
  try {
    return make_parts(model, config);
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
}

}  // namespace prune::tokenizer
