#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace prune::tokenizer {

/// What a SentencePiece `tokenizer.model` holds, as far as BPE needs it. The file is a protobuf
/// message of few fields; reading them here spares a library that would bring a second copy of
/// protobuf into a process that has LibTorch's.
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
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  ///< by id
  Kind kind = Kind::kUnigram;
  bool has_normalization_table = false;
};

/// @throws Error(input) with the file and the byte where it stops being such a message.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path);

}  // namespace prune::tokenizer
