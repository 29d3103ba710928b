#pragma once

#include <string>

#include "value.h"

namespace prune::jinja {

/// Python's str(). @throws Failure for what Python prints with a memory address.
std::string str(Machine& machine, const Value& value);

/// Python's repr().
std::string repr(Machine& machine, const Value& value);

/// str(), without a copy for strings. The result lives as long as value and storage.
std::string_view str_view(Machine& machine, const Value& value, std::string& storage);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Python's json.dumps().
std::string to_json(Machine& machine, const Value& value, const JsonStyle& style);

}  // namespace prune::jinja
