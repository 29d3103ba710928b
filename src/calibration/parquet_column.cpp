// The only file that includes Arrow's headers.
#include "parquet_column.h"

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>
#include <prune/core/error.h>

#include <memory>

namespace prune::calibration {
namespace {

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

int find_column(const parquet::SchemaDescriptor& schema, const std::string& name) {
  const int index = schema.ColumnIndex(name);
  if (index >= 0) return index;
  std::vector<std::string> names;
  for (int i = 0; i < schema.num_columns(); ++i) {
    names.push_back(schema.Column(i)->path()->ToDotString());
  }
  throw Error(ErrorKind::kInput,
              fmt::format("has no column '{}'; its columns are {}", name, fmt::join(names, ", ")));
}

template <class StringArray>
void append(const arrow::Array& chunk, std::vector<std::string>& values) {
  const auto& strings = static_cast<const StringArray&>(chunk);
  for (int64_t i = 0; i < strings.length(); ++i) {
    if (strings.IsNull(i)) {
      throw Error(ErrorKind::kInput, fmt::format("row {} holds null", values.size()));
    }
    values.emplace_back(strings.GetView(i));
  }
}

std::vector<std::string> read_column(const std::string& path, const std::string& column) {
  auto file = value_of(arrow::io::ReadableFile::Open(path));
  const auto reader =
      value_of(parquet::arrow::OpenFile(std::move(file), arrow::default_memory_pool()));
  const auto metadata = reader->parquet_reader()->metadata();
  std::shared_ptr<arrow::ChunkedArray> chunks;
  check(reader->ReadColumn(find_column(*metadata->schema(), column), &chunks));
  std::vector<std::string> values;
  values.reserve(static_cast<size_t>(chunks->length()));
  for (const auto& chunk : chunks->chunks()) {
    if (chunk->type_id() == arrow::Type::STRING) {
      append<arrow::StringArray>(*chunk, values);
    } else if (chunk->type_id() == arrow::Type::LARGE_STRING) {
      append<arrow::LargeStringArray>(*chunk, values);
    } else {
      throw Error(ErrorKind::kInput, fmt::format("column '{}' holds {}, not strings", column,
                                                 chunk->type()->ToString()));
    }
  }
  return values;
}

}  // namespace

std::vector<std::string> read_parquet_column(const std::filesystem::path& path,
                                             const std::string& column) {
  try {
    return read_column(path.string(), column);
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
