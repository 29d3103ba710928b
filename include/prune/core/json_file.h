#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace prune {

using nlohmann::json;

/// The whole of a regular file as bytes. @throws Error(input) when it cannot be read, is a folder, a
/// pipe or a device, or is over `limit_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t limit_bytes = int64_t{1} << 32);

/// Writes a file beside its place and renames it there, so that it is never half there.
/// @throws Error(output) with its name.
void write_file(const std::filesystem::path& path, std::string_view content);

/// Parses JSON of which nobody knows who wrote it: deep nesting and numbers of values that no file of
/// a model has are errors, where a plain parser would go on until the stack or the memory ends.
/// @param unique_names  a name given twice in one object is an error too; else the last value stays.
/// @throws Error(input) with the position of what is wrong, or the name found twice.
json parse_json(std::string_view text, bool unique_names = false);

/// parse_json of a file. @throws Error(input) with its name too.
json read_json(const std::filesystem::path& path);

/// JSON for people and files; on one line with an indent of -1. Bytes that are not UTF-8, as a path may
/// hold, become U+FFFD.
std::string json_text(const json& value, int indent = 2);

/// True when the value is a whole number that the type holds; json's own get() wraps or cuts others.
template <class Integer>
bool is_integer(const json& value);

/// The value of a required key. @throws Error(input) when it is absent or of another type.
template <class T>
T require(const json& object, const char* key);

/// The value of an optional key; `otherwise` when it is absent or null.
template <class T>
T value_or(const json& object, const char* key, T otherwise);

[[noreturn]] void throw_json_error(const char* key, const std::string& reason);

template <class Integer>
bool is_integer(const json& value) {
  if (value.is_number_unsigned()) return std::in_range<Integer>(value.get<uint64_t>());
  return value.is_number_integer() && std::in_range<Integer>(value.get<int64_t>());
}

template <class T>
T require(const json& object, const char* key) {
  if (!object.is_object()) throw_json_error(key, "is missing: this is no JSON object");
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) throw_json_error(key, "is missing");
  bool fits = true;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) fits = is_integer<T>(*found);
  try {
    if (fits) return found->get<T>();
  } catch (const json::exception&) {
    // What it is instead is said below.
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
