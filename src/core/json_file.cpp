#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <vector>

namespace prune {

namespace {

// config.json and tokenizer.json nest some ten levels; dump() and copies recurse once a level.
constexpr int kMaxDepth = 64;
// A vocabulary of 250,000 tokens with its merges is a tenth of this.
constexpr size_t kMaxValues = size_t{8} << 20;
// The largest index we know of has 15 MB, the largest tokenizer.json 33 MB.
constexpr int64_t kMaxJsonBytes = int64_t{256} << 20;

/// Sees depth and number of values from the punctuation alone. As far as a text is JSON the parser sees
/// the same, and where it is not the parser stops.
void check_limits(std::string_view text) {
  int depth = 0;
  size_t values = 1;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"';
      continue;
    }
    in_string = c == '"';
    const bool opens = c == '[' || c == '{';
    depth += opens ? 1 : 0;
    depth -= c == ']' || c == '}' ? 1 : 0;
    values += opens || c == ',' ? 1 : 0;
    if (depth > kMaxDepth) {
      throw Error(ErrorKind::kInput,
                  fmt::format("JSON is nested deeper than {} levels", kMaxDepth));
    }
    if (values > kMaxValues) {
      throw Error(ErrorKind::kInput, fmt::format("JSON holds more than {} values", kMaxValues));
    }
  }
}

/// json::parse's own builder, which also looks at names. (json::parse with a callback could do so too,
/// but takes quadratic time: at the end of every object it visits all members of the one around it.)
class UniqueNamesBuilder : public nlohmann::detail::json_sax_dom_parser<json> {
  using Base = nlohmann::detail::json_sax_dom_parser<json>;

 public:
  explicit UniqueNamesBuilder(json& result) : Base(result) {}

  bool start_object(size_t size) {
    open_.emplace_back();
    return Base::start_object(size);
  }
  bool end_object() {
    open_.pop_back();
    return Base::end_object();
  }
  bool key(std::string& name) {
    if (!open_.back().insert(name).second) {
      throw Error(ErrorKind::kInput, fmt::format("'{}' is given twice", printable(name)));
    }
    return Base::key(name);
  }

 private:
  std::vector<std::set<std::string>> open_;  // names met so far in every object that is still open
};

}  // namespace

std::string read_file(const std::filesystem::path& path, int64_t limit_bytes) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  if (std::filesystem::is_directory(status)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: is a folder, not a file", path.string()));
  }
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: not a regular file", path.string()));
  }
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: cannot open: {}", path.string(), strerror(errno)));
  }
  const int64_t size = stream.tellg();
  if (size > limit_bytes) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} bytes, the limit is {}", path.string(), size, limit_bytes));
  }
  std::string content(static_cast<size_t>(size), '\0');
  stream.seekg(0).read(content.data(), size);
  if (!stream) throw Error(ErrorKind::kInput, fmt::format("{}: cannot read", path.string()));
  return content;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  // A device such as /dev/stdout is written to, not replaced.
  const bool in_place =
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  std::filesystem::path written = path;
  if (!in_place) written += ".tmp";
  std::ofstream stream(written, std::ios::binary);
  stream << content;
  stream.close();
  if (!stream) {
    const int reason = errno;
    if (!in_place) std::filesystem::remove(written, failure);
    throw Error(ErrorKind::kOutput,
                fmt::format("{}: cannot write: {}", path.string(), strerror(reason)));
  }
  if (in_place) return;
  std::filesystem::rename(written, path, failure);
  if (!failure) return;
  const std::string reason = failure.message();
  std::filesystem::remove(written, failure);
  throw Error(ErrorKind::kOutput, fmt::format("{}: cannot write: {}", path.string(), reason));
}

json parse_json(std::string_view text, bool unique_names) {
  check_limits(text);
  try {
    if (!unique_names) return json::parse(text);
    json result;
    UniqueNamesBuilder builder(result);
    json::sax_parse(text, &builder);
    return result;
  } catch (const json::exception& e) {
    // The library's own text names line and column; its "[json.exception...] " prefix says nothing.
    const std::string_view reason = e.what();
    const size_t bracket = reason.find("] ");
    throw Error(
        ErrorKind::kInput,
        fmt::format("not valid JSON: {}",
                    bracket == std::string_view::npos ? reason : reason.substr(bracket + 2)));
  }
}

json read_json(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxJsonBytes);
  try {
    return parse_json(text);
  } catch (Error& error) {
    throw error.in(path.string());
  }
}

std::string json_text(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

void throw_json_error(const char* key, const std::string& reason) {
  throw Error(ErrorKind::kInput, fmt::format("key '{}' {}", key, reason));
}

}  // namespace prune
