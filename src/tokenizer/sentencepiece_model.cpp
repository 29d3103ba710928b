#include "sentencepiece_model.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <optional>
#include <string_view>

namespace prune::tokenizer {
namespace {

/// One field of a protobuf message: a number, or the bytes of a string or nested message.
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
        take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
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

SentencePieceModel::Piece read_piece(std::string_view message) {
  SentencePieceModel::Piece piece;
  FieldReader reader(message);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == 1) piece.text = field->bytes;
    if (field->number == 3) piece.type = static_cast<SentencePieceModel::PieceType>(field->value);
  }
  // llama_files.cpp tries every cut of a piece into two. Trainers make pieces of at most 16 characters.
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
    if (field->number == 3) model.kind = static_cast<SentencePieceModel::Kind>(field->value);
  }
}

/// NormalizerSpec
void read_normalizer(std::string_view message, SentencePieceModel& model) {
  FieldReader reader(message);
  while (const std::optional<Field> field = reader.next()) {
    if (field->number == 2) model.has_normalization_table = !field->bytes.empty();
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& path) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;  // the largest known file has 4 MB
  const std::string content = read_file(path, kMaxBytes);
  SentencePieceModel model;
  try {
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
