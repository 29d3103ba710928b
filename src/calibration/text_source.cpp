#include <fmt/format.h>
#include <prune/calibration/text_source.h>
#include <prune/chat/chat_template.h>
#include <prune/core/error.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "json_rows.h"
#include "parquet_rows.h"
#include "text_kind.h"
#include "text_reader.h"

namespace prune::calibration {
namespace {

namespace fs = std::filesystem;

/// Converts CR LF and CR to LF, as Python's text mode does: published perplexities were measured on text
/// read that way.
std::string with_line_feeds(std::string text, int64_t& replaced) {
  if (text.find('\r') == std::string::npos) return text;
  size_t size = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool carriage_return = text[i] == '\r';
    if (carriage_return) ++replaced;
    if (carriage_return && i + 1 < text.size() && text[i + 1] == '\n') continue;
    text[size++] = carriage_return ? '\n' : text[i];
  }
  text.resize(size);
  return text;
}

TextKind sniffed_kind(TextReader& reader, TextDescription& about) {
  if (reader.starts_with("PAR1")) {
    throw Error(ErrorKind::kInput, fmt::format("{}: Parquet cannot be read from a pipe; name the "
                                               "file",
                                               reader.name()));
  }
  const char first = reader.next_character();
  const bool rows = first == '{' || first == '[';
  about.guesses.push_back(rows ? fmt::format("starts with '{}' and is read as JSON rows", first)
                               : "is read as one text");
  return rows ? TextKind::kJson : TextKind::kText;
}

void read_with_reader(const TextFile& file, TextKind kind, const chat::TemplateChoice& templates,
                      TextSource& source) {
  TextDescription& about = source.about;
  TextReader reader(file.path, file.path == kStandardInput ? file.name : file.path.string());
  about.encoding = reader.encoding();
  about.compression = reader.compression();
  if (kind == TextKind::kUnknown) kind = sniffed_kind(reader, about);
  source.whole_text = kind == TextKind::kText;
  if (source.whole_text) {
    source.documents.push_back(with_line_feeds(reader.read_all(), about.line_ends_replaced));
    return;
  }
  const JsonForm form = kind == TextKind::kJsonLines ? JsonForm::kLines : JsonForm::kAny;
  read_json_rows(reader, form, file.field, templates, source);
}

void describe_rows(const TextFile& file, TextKind kind, TextSource& source) {
  TextDescription& about = source.about;
  about.kind = kind == TextKind::kParquet ? "Parquet rows" : "JSON rows";
  const auto all = static_cast<int64_t>(source.documents.size());
  about.rows = file.rows > 0 ? std::min(all, file.rows) : all;
  about.rows_cut = all - about.rows;
  source.documents.resize(static_cast<size_t>(about.rows));
  about.empty_rows = std::ranges::count_if(source.documents, &std::string::empty);
}

void log(const TextFile& file, const TextDescription& about) {
  const auto say = [&](const std::string& what, int64_t count) {
    if (count > 0) spdlog::info("{}: {}: {}", about.name, what, count);
  };
  if (about.encoding != "UTF-8") {
    spdlog::info("{}: {}, read as UTF-8 without byte order mark", about.name, about.encoding);
  }
  say("line ends of CR LF or CR read as LF", about.line_ends_replaced);
  say("blank lines skipped", about.blank_lines);
  say("null rows skipped", about.null_rows);
  if (about.chat_template == "none") {
    spdlog::info("{}: conversations without a template: their contents are joined", about.name);
  } else if (!about.chat_template.empty()) {
    spdlog::info("{}: conversations are rendered by {}{}{}", about.name, about.chat_template,
                 about.chat_date.empty() ? "" : ", which is given the date " + about.chat_date,
                 about.content_change.empty() ? "" : "; " + about.content_change);
  }
  say("empty rows", about.empty_rows);
  say("rows cut behind the first " + std::to_string(about.rows), about.rows_cut);
  if (about.kind == "text" && file.field) {
    spdlog::info("{}: one text; --text-field '{}' is not used", about.name, *file.field);
  }
}

}  // namespace

TextSource load_text(const TextFile& file, const chat::TemplateChoice& templates) {
  TextKind kind = kind_of(file.path);
  const std::string path = file.path.string();
  if (fs::is_directory(file.path)) throw folder_error(file.path);
  if (kind == TextKind::kUnknown && !is_stream(file.path)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: the extension '{}' is not known; give {}", path,
                                               file.path.extension().string(), kKnownKinds));
  }
  TextSource source{.about = {.name = file.name, .kind = "text"},
                    .documents = {},
                    .separator = file.separator,
                    .segments = file.segments};
  if (kind == TextKind::kParquet) {
    read_parquet_rows(file.path, file.field, templates, source);
  } else {
    read_with_reader(file, kind, templates, source);
  }
  if (!source.whole_text) describe_rows(file, kind, source);
  log(file, source.about);
  if (std::ranges::all_of(source.documents, &std::string::empty)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: contains no text", path));
  }
  return source;
}

TextSource load_text(const std::filesystem::path& path) {
  return load_text(TextFile{.name = path.string(), .path = path}, chat::TemplateChoice());
}

bool is_stream(const std::filesystem::path& path) {
  const std::string name = path.string();
  for (const char* start : {kStandardInput, "/dev/fd/", "/proc/self/fd/"}) {
    if (name.starts_with(start)) return true;
  }
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  return fs::is_fifo(status) || fs::is_character_file(status) || fs::is_socket(status);
}

bool is_same_file(const std::filesystem::path& one, const std::filesystem::path& other) {
  struct stat first {};
  struct stat second {};
  return stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace prune::calibration
