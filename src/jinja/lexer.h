#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prune::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type;
  int line;
  std::string text;  ///< of a string: unescaped
  int64_t integer = 0;
  double number = 0;

  bool is_operator(std::string_view symbol) const {
    return type == TokenType::kOperator && text == symbol;
  }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

/// Splits a template with jinja2's rules for white space around tags: trim_blocks, lstrip_blocks, `-` and `+`.
/// Comments and `raw` are resolved here. @throws Error(input) "NAME:LINE: ..."
std::vector<Token> tokenize(const std::string& name, std::string_view source);

/// @throws Error(input) "NAME:LINE: MESSAGE"
[[noreturn]] void throw_at(const std::string& name, int line, const std::string& message);

}  // namespace prune::jinja
