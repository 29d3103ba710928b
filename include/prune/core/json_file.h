#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace prune {

using nlohmann::json;

/// The whole file as bytes. @throws Error(input) when it cannot be read or is over `limit_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t limit_bytes = int64_t{1} << 32);

/// Parses JSON text. @throws Error(input) with line and column of what is wrong.
json parse_json(const std::string& text);

/// Parses a JSON file. @throws Error(input) with file, line and column of what is wrong.
json read_json(const std::filesystem::path& path);

/// The value of a required key. @throws Error(input) when it is absent or of another type.
template <class T>
T require(const json& object, const char* key);

/// The value of an optional key; `otherwise` when it is absent or null.
template <class T>
T value_or(const json& object, const char* key, T otherwise);

[[noreturn]] void throw_json_error(const char* key, const std::string& reason);

template <class T>
T require(const json& object, const char* key) {
  if (!object.is_object()) throw_json_error(key, "is missing: this is no JSON object");
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) throw_json_error(key, "is missing");
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    throw_json_error(key, "has the wrong type: " + found->dump().substr(0, 60));
  }
}

template <class T>
T value_or(const json& object, const char* key, T otherwise) {
  if (!object.is_object()) return otherwise;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  return require<T>(object, key);
}

}  // namespace prune
