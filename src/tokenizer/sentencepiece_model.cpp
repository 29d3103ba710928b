#include "sentencepiece_model.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/git_lfs.h>
#include <prune/core/json_file.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

namespace prune::tokenizer {
namespace {

/// One field of a protobuf message: a number, or the bytes of a string, nested message or float.
struct Field {
  uint64_t number;
  uint64_t value;
  std::string_view bytes;
};

/// Reads the fields of a message in sequence (protobuf's wire format).
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message), size_(message.size()) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{.number = tag >> 3, .value = 0, .bytes = {}};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        throw broken();
    }
    return field;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    throw broken();
  }

  std::string_view take(uint64_t count) {
    if (count > rest_.size()) throw broken();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  Error broken() const {
    return {ErrorKind::kInput,
            fmt::format("is not a SentencePiece model: a message of {} bytes is invalid at byte {}",
                        size_, size_ - rest_.size())};
  }

  std::string_view rest_;
  size_t size_;
};

/// Little-endian, as this program runs on little-endian machines only.
float float_of(std::string_view bytes) {
  float value = 0;
  if (bytes.size() == sizeof(value)) std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

SentencePieceModel::Piece read_piece(std::string_view message) {
  SentencePieceModel::Piece piece;
  FieldReader reader(message);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == 1) piece.text = field->bytes;
    if (field->number == 2) piece.score = float_of(field->bytes);
    if (field->number == 3) piece.type = static_cast<SentencePieceModel::PieceType>(field->value);
  }
  // sentencepiece_files.cpp tries every cut of a piece into two. Trainers make pieces of at most 16 characters.
  constexpr size_t kMaxPieceBytes = 512;
  if (piece.text.size() > kMaxPieceBytes) {
    throw Error(ErrorKind::kInput, fmt::format("a piece of {} bytes is over the limit of {}",
                                               piece.text.size(), kMaxPieceBytes));
  }
  return piece;
}

/// TrainerSpec
void read_kind(std::string_view message, SentencePieceModel& model) {
  FieldReader reader(message);
  while (const std::optional<Field> field = reader.next()) {
    const auto id = static_cast<int32_t>(field->value);
    switch (field->number) {
      case 3:
        model.kind = static_cast<SentencePieceModel::Kind>(field->value);
        break;
      case 35:
        model.byte_fallback = field->value != 0;
        break;
      case 40:
        model.has_unk = id >= 0;
        model.unk_id = static_cast<size_t>(std::max(id, 0));
        break;
      case 41:
        model.has_bos = id >= 0;
        break;
      case 42:
        model.has_eos = id >= 0;
        break;
      case 45:
        model.unk_piece = field->bytes;
        break;
      case 46:
        model.bos_piece = field->bytes;
        break;
      case 47:
        model.eos_piece = field->bytes;
        break;
      default:
        break;
    }
  }
}

/// NormalizerSpec
void read_normalizer(std::string_view message, SentencePieceModel& model) {
  FieldReader reader(message);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == 2) model.normalization_table = field->bytes;
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;  // the largest known file has 4 MB
  const std::string content = read_file(path, kMaxBytes);
  SentencePieceModel model;
  try {
    reject_lfs_pointer(content);
    FieldReader reader(content);
    while (const std::optional<Field> field = reader.next()) {
      if (field->number == 1) model.pieces.push_back(read_piece(field->bytes));
      if (field->number == 2) read_kind(field->bytes, model);
      if (field->number == 3) read_normalizer(field->bytes, model);
    }
    if (model.pieces.empty())
      throw Error(ErrorKind::kInput, "is not a SentencePiece model: it has no pieces");
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
  return model;
}

}  // namespace prune::tokenizer
