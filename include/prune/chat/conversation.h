#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prune::chat {

/// What a chat template is rendered with. The sequence of keys matters: templates print tools as JSON.
struct Conversation {
  nlohmann::ordered_json
      messages;                  ///< [{"role": ..., "content": text or parts, ...}, ...], not empty
  nlohmann::ordered_json tools;  ///< a list of JSON schemas; null: none
};

/// The shapes that rows of chat data sets have (src/chat/README.md, "Rows").
enum class RowShape {
  kNone,
  kMessages,      ///< a list of messages with roles
  kInstruction,   ///< alpaca: `instruction`, `input`, `output`
  kPromptAnswer,  ///< `prompt` and `completion`, `response` or `chosen`
};

/// The shape of a row and the key that decides it.
struct RowForm {
  RowShape shape = RowShape::kNone;
  std::string key = {};
};

/// @param keys  of a row
RowForm row_form(const std::vector<std::string>& keys);

/// The keys that conversation_of() reads from rows of a form, as far as they are there.
std::vector<std::string> keys_of(const RowForm& form);

/// The conversation in a row; std::nullopt if its key holds null or an empty list.
/// @param form  `key` is read as the list of messages for kMessages, whatever its name
/// @throws Error(input) naming the key or the message that is missing or of the wrong type.
std::optional<Conversation> conversation_of(const nlohmann::ordered_json& row, const RowForm& form);

/// The conversation that ends before the assistant's answer: what a task's item asks.
/// @param row  {"messages": [...]}, {"instruction": ..., "input": ...} or {"prompt": ...}, with the keys of
///        question_keys()
/// @return std::nullopt if the row has none of these keys
/// @throws Error(input) as conversation_of().
std::optional<Conversation> question_of(const nlohmann::ordered_json& row);

std::vector<std::string> question_keys();

/// A conversation without a template: a completion directly after its prompt, all other contents with an empty line
/// between them. @throws Error(input) for a content with parts other than text.
std::string plain_text(const Conversation& conversation, RowShape shape);

/// A content as one text: parts of text with line feeds between them; null is empty.
/// @throws Error(input) for other parts.
std::string content_text(const nlohmann::ordered_json& content);

}  // namespace prune::chat
