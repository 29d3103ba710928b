#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/git_lfs.h>
#include <prune/core/json_file.h>
#include <prune/core/open_error.h>
#include <prune/core/printable.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "python_json.h"

namespace prune {
namespace {

// config.json and tokenizer.json nest about ten levels. dump() and copies recurse once per level.
constexpr int kMaxDepth = 64;
// A vocabulary of 250,000 tokens with its merges is a tenth of this.
constexpr size_t kMaxValues = size_t{8} << 20;
// ordered_json searches an object from its start for every new name.
constexpr size_t kMaxOrderedMembers = 4096;
// The largest known index has 15 MB, the largest known tokenizer.json 33 MB.
constexpr int64_t kMaxJsonBytes = int64_t{256} << 20;

/// Counts depth and values from the punctuation alone, before the parser allocates anything. The counts
/// are exact as far as the text is valid JSON, and the parser stops where it is not.
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

Error syntax_error(const json::exception& exception) {
  // The library's text names line and column; its "[json.exception...] " prefix helps nobody.
  std::string_view reason = exception.what();
  const size_t bracket = reason.find("] ");
  if (bracket != std::string_view::npos) reason.remove_prefix(bracket + 2);
  return {ErrorKind::kInput, fmt::format("not valid JSON: {}", reason)};
}

/// Builds the value that json::parse would build, with two differences: it can reject an object that repeats a
/// name, and strings of without_python_extensions() become their numbers. (json::parse with a callback could do
/// both, but takes quadratic time: at the end of every object it visits all members of the enclosing one.)
template <class Json>
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(bool unique_names) : unique_names_(unique_names) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(typename Json::number_integer_t value) override { return add(value); }
  bool number_unsigned(typename Json::number_unsigned_t value) override { return add(value); }
  bool number_float(typename Json::number_float_t value, const std::string& /*text*/) override {
    return add(value);
  }
  bool string(std::string& value) override {
    const std::optional<double> number = number_behind(value);
    return add(number ? Json(*number) : Json(std::move(value)));
  }
  bool binary(typename Json::binary_t& value) override { return add(std::move(value)); }

  bool start_object(size_t /*size*/) override { return open(Json::object()); }
  bool start_array(size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    const auto [member, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new && unique_names_) {
      throw Error(ErrorKind::kInput, fmt::format("'{}' is given twice", printable(name)));
    }
    if (std::is_same_v<Json, nlohmann::ordered_json> && open_.back()->size() > kMaxOrderedMembers) {
      throw Error(ErrorKind::kInput,
                  fmt::format("an object has more than {} members", kMaxOrderedMembers));
    }
    member_ = &*member;
    return true;
  }

  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const json::exception& exception) override {
    throw exception;
  }

 private:
  /// Where the next value goes: the root, the end of the open array, or the member named last.
  Json& next_place() {
    if (open_.empty()) return root_;
    Json& parent = *open_.back();
    return parent.is_array() ? parent.emplace_back(nullptr) : *member_;
  }
  bool add(Json value) {
    next_place() = std::move(value);
    return true;
  }
  bool open(Json empty) {
    Json& place = next_place();
    place = std::move(empty);
    open_.push_back(&place);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  bool unique_names_;
  Json root_;
  // Arrays and objects that are not closed yet. Only the innermost grows, so the pointers stay valid.
  std::vector<Json*> open_;
  Json* member_ = nullptr;
};

/// @throws json::exception for text that is not JSON
template <class Json>
Json build(std::string_view text, bool unique_names) {
  Builder<Json> builder(unique_names);
  Json::sax_parse(text, &builder);
  return builder.take();
}

template <class Json>
Json build_with_python_extensions(std::string_view text, bool unique_names) {
  try {
    return build<Json>(without_python_extensions(text), unique_names);
  } catch (const json::exception& exception) {
    throw syntax_error(exception);
  }
}

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
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw cannot_open(path, errno);
  const int64_t size = file.tellg();
  if (size > limit_bytes) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: has {} bytes, the limit is {}", path.string(), size, limit_bytes));
  }
  std::string content(static_cast<size_t>(size), '\0');
  file.seekg(0).read(content.data(), size);
  if (!file) throw Error(ErrorKind::kInput, fmt::format("{}: cannot read", path.string()));
  return content;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  // Write to a device such as /dev/stdout; do not replace it.
  const bool in_place =
      std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  std::filesystem::path written = path;
  if (!in_place) written += ".tmp";
  std::ofstream file(written, std::ios::binary);
  file << content;
  file.close();
  if (!file) {
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
    return unique_names ? build<json>(text, unique_names) : json::parse(text);
  } catch (const json::exception&) {
    // Few files need the second pass.
  }
  return build_with_python_extensions<json>(text, unique_names);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text) {
  check_limits(text);
  return build_with_python_extensions<nlohmann::ordered_json>(text, /*unique_names=*/false);
}

std::string edited_json(const std::string& text, const json& members,
                        const std::vector<std::string>& removed) {
  // ordered_json keeps the sequence of the keys.
  auto object = nlohmann::ordered_json::parse(without_python_extensions(text));
  for (const auto& [key, value] : members.items()) {
    object[nlohmann::ordered_json::json_pointer("/" + key)] = value;
  }
  for (const std::string& key : removed) {
    const size_t slash = key.find('/');
    if (slash != std::string::npos) {
      object.at(key.substr(0, slash)).erase(key.substr(slash + 1));
    } else if (!members.contains(key)) {
      object.erase(key);
    }
  }
  return with_python_numbers(object.dump(2)) + "\n";
}

json read_json(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxJsonBytes);
  try {
    reject_lfs_pointer(text);
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
