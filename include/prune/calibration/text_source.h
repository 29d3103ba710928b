#pragma once

#include <prune/calibration/text_description.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace prune::chat {
class ChatTemplate;
struct TemplateChoice;
}  // namespace prune::chat

namespace prune::calibration {

inline constexpr const char* kStandardInput = "/dev/stdin";

/// A text file and the way it is to be read (src/calibration/README.md, "Text files").
struct TextFile {
  std::string name;            ///< shown in log and report
  std::filesystem::path path;  ///< may be kStandardInput
  /// Key of a JSON row or column of a Parquet file; "a.b" is b within a. None: `text`, else `content`.
  std::optional<std::string> field = {};
  /// Joins the rows into one text. None: they stay separate for calibration and are joined by a line feed
  /// for evaluation.
  std::optional<std::string> separator = {};
  int64_t rows = 0;      ///< reads only the first rows of the file; 0: all
  int64_t segments = 0;  ///< at most this many evaluation segments; 0: all
  double weight = 1.0;   ///< share of the calibration samples, relative to the other files
};

/// Text as read from a file. Calibration draws windows from one text, and rows one at a time from others.
struct TextSource {
  TextDescription about = {};
  std::vector<std::string> documents = {};  ///< one text, rows, or conversations
  bool whole_text = false;                  ///< `documents` holds one text
  bool conversations = false;               ///< `documents` come from rows of a chat data set
  /// Renders the conversations, which are [messages, tools] as JSON then. None: documents are plain text.
  std::shared_ptr<const chat::ChatTemplate> chat = {};
  std::optional<std::string> separator = {};  ///< as in TextFile
  int64_t segments = 0;                       ///< as in TextFile
};

/// Reads .txt, .raw and .md (one text, line ends as LF), .jsonl and .json (rows), all of them plain or
/// compressed by gzip or zstd, and .parquet (rows). Capitals do not matter. Standard input and pipes need no
/// extension: what starts with '{' or '[' is taken for rows, which is a guess. Logs what is skipped and
/// replaced.
/// @param templates  for rows of chats; read only if there are any
/// @throws Error(input) with the path, and with the line or row of what is wrong.
TextSource load_text(const TextFile& file, const chat::TemplateChoice& templates);

/// Reads a file that belongs to no known data set and holds no chats; its name is its path.
TextSource load_text(const std::filesystem::path& path);

/// True for standard input, a pipe or a device, which can be read only once.
bool is_stream(const std::filesystem::path& path);

/// True if two paths lead to the same file or pipe.
bool is_same_file(const std::filesystem::path& one, const std::filesystem::path& other);

}  // namespace prune::calibration
