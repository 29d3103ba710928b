// The only file that includes Arrow's headers.
#include "parquet_rows.h"

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <prune/calibration/text_description.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <memory>
#include <string_view>

#include "row_field.h"

namespace prune::calibration {
namespace {

using parquet::arrow::SchemaField;

void check(const arrow::Status& status) {
  if (status.ok()) return;
  const std::string& message = status.message();
  throw Error(ErrorKind::kInput,
              fmt::format("cannot read as Parquet: {}", message.substr(0, message.find('\n'))));
}

template <class T>
T value_of(arrow::Result<T> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

bool is_text(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return true;
    case arrow::Type::DICTIONARY:
      return is_text(*static_cast<const arrow::DictionaryType&>(type).value_type());
    default:
      return false;
  }
}

/// The column of this name, or of the dotted name of a member of structs; null pointer if there is none.
const SchemaField* find_column(const std::vector<SchemaField>& columns, const std::string& name) {
  for (const SchemaField& column : columns) {
    const std::string& own = column.field->name();
    if (own == name) return &column;
    const bool within =
        name.starts_with(own + ".") && column.field->type()->id() == arrow::Type::STRUCT;
    if (!within) continue;
    const SchemaField* const found = find_column(column.children, name.substr(own.size() + 1));
    if (found != nullptr) return found;
  }
  return nullptr;
}

/// A text of an array for which is_text() is true.
std::string_view text_at(const arrow::Array& array, int64_t row) {
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return static_cast<const arrow::BinaryArray&>(array).GetView(row);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return static_cast<const arrow::LargeBinaryArray&>(array).GetView(row);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return static_cast<const arrow::BinaryViewArray&>(array).GetView(row);
    default: {
      const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
      return text_at(*coded.dictionary(), coded.GetValueIndex(row));
    }
  }
}

bool is_null(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return true;
  if (array.type_id() != arrow::Type::DICTIONARY) return false;
  const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
  return coded.dictionary()->IsNull(coded.GetValueIndex(row));
}

void check_utf8(std::string_view text, int64_t row) {
  const size_t broken = first_invalid_utf8(text);
  if (broken == text.size()) return;
  throw Error(ErrorKind::kInput,
              fmt::format("row {} (counted from 0): byte 0x{:02X} at offset {} is not UTF-8", row,
                          static_cast<unsigned char>(text[broken]), broken));
}

std::vector<std::string> read_rows(const std::string& path, const std::optional<std::string>& asked,
                                   TextDescription& about) {
  auto file = value_of(arrow::io::ReadableFile::Open(path));
  const auto reader =
      value_of(parquet::arrow::OpenFile(std::move(file), arrow::default_memory_pool()));
  const std::vector<SchemaField>& columns = reader->manifest().schema_fields;
  std::vector<RowKey> keys;
  for (const SchemaField& column : columns) {
    keys.push_back({column.field->name(), is_text(*column.field->type())});
  }
  about.field = choose_field(asked, keys, about.guesses);
  const SchemaField* const column = find_column(columns, about.field);
  if (column == nullptr) throw missing_field(about.field, keys);
  if (!column->is_leaf() || !is_text(*column->field->type())) {
    throw Error(ErrorKind::kInput, fmt::format("column '{}' holds {}, not text", about.field,
                                               column->field->type()->ToString()));
  }
  const auto table = value_of(reader->ReadTable({column->column_index}));
  std::vector<std::string> texts;
  texts.reserve(static_cast<size_t>(table->num_rows()));
  int64_t row = 0;
  for (std::shared_ptr<arrow::Array> chunk : table->column(0)->chunks()) {
    // A struct was read with the one member that leads to the column. A null struct makes its member null.
    while (chunk->type_id() == arrow::Type::STRUCT) {
      chunk = value_of(static_cast<const arrow::StructArray&>(*chunk).GetFlattenedField(0));
    }
    for (int64_t i = 0; i < chunk->length(); ++i, ++row) {
      if (is_null(*chunk, i)) {
        ++about.null_rows;
        continue;
      }
      const std::string_view text = text_at(*chunk, i);
      check_utf8(text, row);
      texts.emplace_back(text);
    }
  }
  return texts;
}

}  // namespace

std::vector<std::string> read_parquet_rows(const std::filesystem::path& path,
                                           const std::optional<std::string>& field,
                                           TextDescription& about) {
  try {
    return read_rows(path.string(), field, about);
  } catch (Error& error) {
    error.in(path.string());
    throw;
  } catch (const parquet::ParquetException& error) {
    const std::string message = error.what();
    throw Error(ErrorKind::kInput, fmt::format("{}: cannot read as Parquet: {}", path.string(),
                                               message.substr(0, message.find('\n'))));
  }
}

}  // namespace prune::calibration
