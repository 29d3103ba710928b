#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace prune {

using nlohmann::json;

/// Reads a regular file into memory. @throws Error(input) if it cannot be read, is a folder, pipe or
/// device, or is larger than `limit_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t limit_bytes = int64_t{1} << 32);

/// Writes a temporary file next to `path` and renames it, so that readers never see half a file. A
/// device such as /dev/stdout is written directly. @throws Error(output) with the path.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Parses JSON from an untrusted file. A plain parser follows deep nesting and endless lists until stack
/// or memory runs out; this one limits both (src/core/README.md, "Untrusted files"). What Python's json reads
/// beyond JSON is read too: NaN, Infinity, numbers beyond a double's range (infinite), halves of surrogate pairs
/// (U+FFFD).
/// @param unique_names  rejects an object that repeats a name; otherwise the last value wins.
/// @throws Error(input) with line and column of the syntax error, or with the repeated name.
json parse_json(std::string_view text, bool unique_names = false);

/// The same for values whose keys must keep their sequence. @throws Error(input), also for an object of more than
/// 4096 members, each of which is a search through all.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

/// Parses a JSON file. @throws Error(input) as parse_json(), with the path.
json read_json(const std::filesystem::path& path);

/// The text of a JSON object with some members set and others removed, those of a member that is an object as
/// "member/key"; the sequence of keys and Python's NaN and Infinity stay.
/// @param text of a file that parse_json() has accepted
std::string edited_json(const std::string& text, const json& members,
                        const std::vector<std::string>& removed);

/// Serialises JSON; an indent of -1 gives one line. Invalid UTF-8, which a path may contain, becomes
/// U+FFFD.
std::string json_text(const json& value, int indent = 2);

/// True if the value is a whole number that fits the type. json's own get() wraps or truncates others.
template <class Integer>
bool is_integer(const json& value);

/// The value of a required key. @throws Error(input) if it is absent, null or of another type.
template <class T>
T require(const json& object, const char* key);

/// The value of an optional key; `otherwise` if it is absent or null.
/// @throws Error(input) if it is of another type.
template <class T>
T value_or(const json& object, const char* key, T otherwise);

/// @throws Error(input): "key 'KEY' REASON".
[[noreturn]] void throw_json_error(const char* key, const std::string& reason);

template <class Integer>
bool is_integer(const json& value) {
  if (value.is_number_unsigned()) return std::in_range<Integer>(value.get<uint64_t>());
  return value.is_number_integer() && std::in_range<Integer>(value.get<int64_t>());
}

template <class T>
T require(const json& object, const char* key) {
  if (!object.is_object()) throw_json_error(key, "is missing: the value is not a JSON object");
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) throw_json_error(key, "is missing");
  bool fits = true;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) fits = is_integer<T>(*found);
  try {
    if (fits) return found->get<T>();
  } catch (const json::exception&) {
    // The error below shows the value.
  }
  throw_json_error(key, "has the wrong type: " + found->dump().substr(0, 60));
}

template <class T>
T value_or(const json& object, const char* key, T otherwise) {
  if (!object.is_object()) return otherwise;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  return require<T>(object, key);
}

}  // namespace prune
