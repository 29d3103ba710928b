// The only file that includes Arrow's headers.
#include "parquet_rows.h"

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/table.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <prune/calibration/row_objects.h>
#include <prune/calibration/text_source.h>
#include <prune/core/error.h>
#include <prune/core/utf8.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "row_collector.h"

namespace prune::calibration {
namespace {

using nlohmann::ordered_json;
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

bool is_list(const arrow::DataType& type) {
  return type.id() == arrow::Type::LIST || type.id() == arrow::Type::LARGE_LIST ||
         type.id() == arrow::Type::FIXED_SIZE_LIST;
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

ordered_json value_at(const arrow::Array& array, int64_t row);

ordered_json list_at(const arrow::Array& values, int64_t begin, int64_t end) {
  ordered_json list = ordered_json::array();
  for (int64_t i = begin; i < end; ++i) list.push_back(value_at(values, i));
  return list;
}

ordered_json struct_at(const arrow::StructArray& array, int64_t row) {
  ordered_json object = ordered_json::object();
  for (int i = 0; i < array.num_fields(); ++i) {
    const std::string& name = array.struct_type()->field(i)->name();
    ordered_json value = value_at(*array.field(i), row);
    if (!value.is_null() || name == "content") object[name] = std::move(value);
  }
  return object;
}

/// A value as JSON.
ordered_json value_at(const arrow::Array& array, int64_t row) {
  if (is_null(array, row)) return nullptr;
  const arrow::DataType& type = *array.type();
  if (is_text(type)) {
    const std::string_view text = text_at(array, row);
    check_utf8(text, row);
    return std::string(text);
  }
  switch (type.id()) {
    case arrow::Type::STRUCT:
      return struct_at(static_cast<const arrow::StructArray&>(array), row);
    case arrow::Type::LIST: {
      const auto& lists = static_cast<const arrow::ListArray&>(array);
      return list_at(*lists.values(), lists.value_offset(row), lists.value_offset(row + 1));
    }
    case arrow::Type::LARGE_LIST: {
      const auto& lists = static_cast<const arrow::LargeListArray&>(array);
      return list_at(*lists.values(), lists.value_offset(row), lists.value_offset(row + 1));
    }
    case arrow::Type::FIXED_SIZE_LIST: {
      const auto& lists = static_cast<const arrow::FixedSizeListArray&>(array);
      return list_at(*lists.values(), lists.value_offset(row), lists.value_offset(row + 1));
    }
    case arrow::Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(array).Value(row);
    case arrow::Type::INT8:
      return static_cast<const arrow::Int8Array&>(array).Value(row);
    case arrow::Type::INT16:
      return static_cast<const arrow::Int16Array&>(array).Value(row);
    case arrow::Type::INT32:
      return static_cast<const arrow::Int32Array&>(array).Value(row);
    case arrow::Type::INT64:
      return static_cast<const arrow::Int64Array&>(array).Value(row);
    case arrow::Type::UINT8:
      return static_cast<const arrow::UInt8Array&>(array).Value(row);
    case arrow::Type::UINT16:
      return static_cast<const arrow::UInt16Array&>(array).Value(row);
    case arrow::Type::UINT32:
      return static_cast<const arrow::UInt32Array&>(array).Value(row);
    case arrow::Type::UINT64:
      return static_cast<const arrow::UInt64Array&>(array).Value(row);
    case arrow::Type::FLOAT:
      return static_cast<const arrow::FloatArray&>(array).Value(row);
    case arrow::Type::DOUBLE:
      return static_cast<const arrow::DoubleArray&>(array).Value(row);
    default:
      throw Error(ErrorKind::kInput,
                  fmt::format("values of type {} cannot be read", type.ToString()));
  }
}

std::unique_ptr<parquet::arrow::FileReader> open(const std::string& path) {
  auto file = value_of(arrow::io::ReadableFile::Open(path));
  return value_of(parquet::arrow::OpenFile(std::move(file), arrow::default_memory_pool()));
}

std::vector<RowKey> keys_of(const std::vector<SchemaField>& columns) {
  std::vector<RowKey> keys;
  for (const SchemaField& column : columns) {
    const arrow::DataType& type = *column.field->type();
    keys.push_back({column.field->name(), is_text(type), is_list(type)});
  }
  return keys;
}

void add_leaves(const SchemaField& column, std::vector<int>& leaves) {
  if (column.is_leaf()) leaves.push_back(column.column_index);
  for (const SchemaField& child : column.children) add_leaves(child, leaves);
}

/// Calls `row` with the named columns of each row, as far as the file has them.
void for_each_row(parquet::arrow::FileReader& reader, const std::vector<std::string>& names,
                  const std::function<void(const ordered_json&)>& row) {
  std::vector<int> leaves;
  for (const SchemaField& column : reader.manifest().schema_fields) {
    const bool named = std::ranges::find(names, column.field->name()) != names.end();
    if (named) add_leaves(column, leaves);
  }
  const auto table = value_of(reader.ReadTable(leaves));
  const auto batches = value_of(table->CombineChunksToBatch());
  for (int64_t i = 0; i < batches->num_rows(); ++i) {
    try {
      ordered_json object = ordered_json::object();
      for (int column = 0; column < batches->num_columns(); ++column) {
        object[batches->column_name(column)] = value_at(*batches->column(column), i);
      }
      row(object);
    } catch (Error& error) {
      throw error.in(fmt::format("row {} (counted from 0)", i));
    }
  }
}

void read_text_column(parquet::arrow::FileReader& reader, RowCollector& rows) {
  const std::vector<SchemaField>& columns = reader.manifest().schema_fields;
  const SchemaField* const column = find_column(columns, rows.field());
  if (column == nullptr) throw missing_field(rows.field(), keys_of(columns));
  if (!column->is_leaf() || !is_text(*column->field->type())) {
    throw Error(ErrorKind::kInput, fmt::format("column '{}' holds {}, not text", rows.field(),
                                               column->field->type()->ToString()));
  }
  const auto table = value_of(reader.ReadTable({column->column_index}));
  int64_t row = 0;
  for (std::shared_ptr<arrow::Array> chunk : table->column(0)->chunks()) {
    // A struct was read with the one member that leads to the column. A null struct makes its member null.
    while (chunk->type_id() == arrow::Type::STRUCT) {
      chunk = value_of(static_cast<const arrow::StructArray&>(*chunk).GetFlattenedField(0));
    }
    for (int64_t i = 0; i < chunk->length(); ++i, ++row) {
      if (is_null(*chunk, i)) {
        rows.add_null();
        continue;
      }
      const std::string_view text = text_at(*chunk, i);
      check_utf8(text, row);
      rows.add_text(std::string(text));
    }
  }
}

/// Calls `read` with a reader of the file; what it throws gets the path.
void with_reader(const std::filesystem::path& path,
                 const std::function<void(parquet::arrow::FileReader&)>& read) {
  try {
    read(*open(path.string()));
  } catch (Error& error) {
    error.in(path.string());
    throw;
  } catch (const parquet::ParquetException& error) {
    const std::string message = error.what();
    throw Error(ErrorKind::kInput, fmt::format("{}: cannot read as Parquet: {}", path.string(),
                                               message.substr(0, message.find('\n'))));
  }
}

}  // namespace

bool reads_parquet() { return true; }

void read_parquet_rows(const std::filesystem::path& path, const std::optional<std::string>& field,
                       const chat::TemplateChoice& templates, TextSource& source) {
  with_reader(path, [&](parquet::arrow::FileReader& reader) {
    const std::vector<RowKey> keys = keys_of(reader.manifest().schema_fields);
    RowCollector rows(field, templates, source);
    rows.decide(keys);
    if (!rows.takes_conversations()) return read_text_column(reader, rows);
    for_each_row(reader, chat::keys_of(rows.form()),
                 [&](const ordered_json& row) { rows.add_conversation(row); });
  });
}

void for_each_parquet_row(const std::filesystem::path& path, const std::vector<std::string>& keys,
                          const std::function<void(const ordered_json&)>& row) {
  with_reader(path, [&](parquet::arrow::FileReader& reader) { for_each_row(reader, keys, row); });
}

}  // namespace prune::calibration
