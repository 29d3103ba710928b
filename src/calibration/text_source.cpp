#include <fmt/format.h>
#include <prune/calibration/text_source.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/utf8.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "byte_stream.h"
#include "parquet_column.h"

namespace prune::calibration {
namespace {

/// The text as valid UTF-8; copies only to repair.
std::string repaired(std::string text) {
  std::string storage;
  const std::string_view valid = valid_utf8(text, storage);
  return valid.data() == text.data() ? std::move(text) : std::move(storage);
}

/// Converts CR LF and CR to LF, as Python's text mode does: published perplexities were measured on text
/// read that way.
std::string with_line_feeds(std::string text, const std::string& path) {
  if (text.find('\r') == std::string::npos) return text;
  int64_t changed = 0;
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool carriage_return = text[i] == '\r';
    if (carriage_return) ++changed;
    if (carriage_return && i + 1 < text.size() && text[i + 1] == '\n') continue;
    text[size++] = carriage_return ? '\n' : text[i];
  }
  text.resize(size);
  spdlog::info("{}: read {} line ends of CR LF or CR as LF", path, changed);
  return text;
}

std::string document_of(const std::string& line, const std::string& field) {
  return require<std::string>(parse_json(line), field.c_str());
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

std::vector<std::string> read_lines(const std::filesystem::path& path, const std::string& field) {
  ByteStream file(path);
  std::vector<std::string> documents;
  std::string line;
  for (int64_t number = 1; file.read_line(line); ++number) {
    if (is_blank(line)) continue;
    try {
      documents.push_back(document_of(repaired(std::move(line)), field));
    } catch (Error& error) {
      error.in(fmt::format("{}:{}", path.string(), number));
      throw;
    }
  }
  return documents;
}

std::vector<std::string> read_rows(const std::filesystem::path& path, const std::string& field) {
  std::vector<std::string> documents = read_parquet_column(path, field);
  for (std::string& document : documents) document = repaired(std::move(document));
  return documents;
}

std::string joined(const std::vector<std::string>& documents, const std::string& separator) {
  return fmt::format("{}", fmt::join(documents, separator));
}

/// ".json" for "x.json" and for "x.json.gz".
std::string kind_of(std::filesystem::path path) {
  if (path.extension() == ".gz") path = path.stem();
  return path.extension().string();
}

}  // namespace

TextSource load_text(const TextFile& file) {
  const std::string path = file.path.string();
  TextSource source{.name = file.name, .documents = {}, .whole_text = false};
  const std::string kind = kind_of(file.path);
  if (kind == ".jsonl" || kind == ".json") {
    source.documents = read_lines(file.path, file.field);
  } else if (kind == ".parquet") {
    source.documents = read_rows(file.path, file.field);
  } else if (kind == ".txt" || kind == ".raw" || kind == ".md") {
    source.whole_text = true;
    source.documents.push_back(with_line_feeds(repaired(ByteStream(file.path).read_all()), path));
  } else {
    throw Error(
        ErrorKind::kInput,
        fmt::format("{}: the extension '{}' is not known; give .txt, .raw or .md (one text), "
                    ".jsonl or .json (one object with \"text\" per line), any of these with "
                    ".gz, or .parquet",
                    path, kind));
  }
  const bool empty = std::all_of(source.documents.begin(), source.documents.end(),
                                 [](const std::string& text) { return text.empty(); });
  if (empty) throw Error(ErrorKind::kInput, fmt::format("{}: contains no text", path));
  if (file.separator) {
    source.documents = {joined(source.documents, *file.separator)};
    source.whole_text = true;
  }
  return source;
}

TextSource load_text(const std::filesystem::path& path) {
  return load_text(TextFile{.name = path.string(), .path = path});
}

}  // namespace prune::calibration
