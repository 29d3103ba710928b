#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace prune::tokenizer {

/// The fields of a SentencePiece `tokenizer.model` that affect ids. The file is a protobuf message with few
/// fields. We read it ourselves, because the sentencepiece library would bring a second copy of protobuf
/// into a process that already has LibTorch's.
/// Source: sentencepiece_model.proto of google/sentencepiece.
struct SentencePieceModel {
  enum class Kind { kUnigram = 1, kBpe = 2, kWord = 3, kCharacter = 4 };
  enum class PieceType {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  ///< index = id
  Kind kind = Kind::kUnigram;
  bool byte_fallback = false;
  /// The unknown token and those at the ends of a text; an id below zero in the file means none.
  bool has_unk = true, has_bos = true, has_eos = true;
  size_t unk_id = 0;
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";
  std::string normalization_table;  ///< precompiled_charsmap; empty if text is not rewritten
};

/// @throws Error(input) with the file, and the byte where the protobuf message is invalid.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

}  // namespace prune::tokenizer
