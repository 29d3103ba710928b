#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace prune {

std::string read_file(const std::filesystem::path& path, int64_t limit_bytes) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: is a folder, not a file", path.string()));
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: cannot open: {}", path.string(), strerror(errno)));
  }
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, failure));
  if (!failure && size > limit_bytes) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} bytes, the limit is {}", path.string(), size, limit_bytes));
  }
  std::string content((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (stream.bad()) {
    throw Error(ErrorKind::kInput, fmt::format("{}: cannot read", path.string()));
  }
  return content;
}

json parse_json(const std::string& text) {
  try {
    return json::parse(text);
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
  const std::string text = read_file(path);
  try {
    return parse_json(text);
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
}

void throw_json_error(const char* key, const std::string& reason) {
  throw Error(ErrorKind::kInput, fmt::format("key '{}' {}", key, reason));
}

}  // namespace prune
