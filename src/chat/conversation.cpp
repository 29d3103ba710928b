#include <fmt/format.h>
#include <prune/chat/conversation.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <array>
#include <utility>

namespace prune::chat {
namespace {

using nlohmann::ordered_json;

constexpr std::array<const char*, 2> kMessageLists = {"messages", "conversations"};
constexpr std::array<const char*, 3> kAnswers = {"completion", "response", "chosen"};

// ShareGPT's names of roles, and what templates call them.
constexpr std::array<std::pair<const char*, const char*>, 6> kRoles = {{{"human", "user"},
                                                                        {"gpt", "assistant"},
                                                                        {"chatgpt", "assistant"},
                                                                        {"model", "assistant"},
                                                                        {"bot", "assistant"},
                                                                        {"observation", "tool"}}};

Error wrong(const std::string& key, const std::string& what) {
  return {ErrorKind::kInput, fmt::format("key '{}' {}", printable(key), what)};
}

/// The value of a key; null pointer if it is absent or null.
const ordered_json* find(const ordered_json& row, const std::string& key) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? nullptr : &*found;
}

/// The text of an optional key; empty if it is absent or null.
std::string text_at(const ordered_json& row, const std::string& key) {
  const ordered_json* const value = find(row, key);
  if (value == nullptr) return "";
  if (!value->is_string()) throw wrong(key, fmt::format("is {}, not text", value->type_name()));
  return value->get<std::string>();
}

ordered_json message(const char* role, std::string content) {
  return {{"role", role}, {"content", std::move(content)}};
}

std::string role_of(const std::string& from) {
  const auto found =
      std::ranges::find(kRoles, from, [](const auto& pair) { return std::string(pair.first); });
  return found == kRoles.end() ? from : found->second;
}

/// A message as it stands, or one of ShareGPT's {"from": ..., "value": ...} under the usual names.
ordered_json read_message(const ordered_json& given) {
  if (!given.is_object()) {
    throw Error(ErrorKind::kInput,
                fmt::format("is {}; an object with a role is expected", given.type_name()));
  }
  const bool is_share_gpt = !given.contains("role") && given.contains("from");
  ordered_json read =
      is_share_gpt ? message(role_of(text_at(given, "from")).c_str(), text_at(given, "value"))
                   : given;
  if (find(read, "role") == nullptr || !read["role"].is_string()) {
    throw Error(ErrorKind::kInput, "has no role; \"role\" or \"from\" names it");
  }
  const ordered_json* const content = find(read, "content");
  if (content != nullptr && !content->is_string() && !content->is_array()) {
    throw wrong("content",
                fmt::format("is {}; text or a list of parts is expected", content->type_name()));
  }
  return read;
}

ordered_json read_messages(const ordered_json& list, const std::string& key) {
  if (!list.is_array()) {
    throw wrong(key, fmt::format("is {}; a list of messages is expected", list.type_name()));
  }
  ordered_json messages = ordered_json::array();
  for (const ordered_json& given : list) {
    try {
      messages.push_back(read_message(given));
    } catch (Error& error) {
      throw error.in(fmt::format("message {} of '{}'", messages.size(), printable(key)));
    }
  }
  return messages;
}

/// Tools as a list, or as text that holds one: columns of Parquet files cannot hold schemas of different shapes.
ordered_json read_tools(const ordered_json& row) {
  const ordered_json* const value = find(row, "tools");
  if (value == nullptr) return nullptr;
  ordered_json tools = *value;
  if (tools.is_string()) {
    if (tools.get_ref<const std::string&>().empty()) return nullptr;
    try {
      tools = parse_ordered_json(tools.get_ref<const std::string&>());
    } catch (Error& error) {
      throw error.in("key 'tools'");
    }
    if (tools.is_null()) return nullptr;
  }
  const auto is_object = [](const ordered_json& tool) { return tool.is_object(); };
  if (!tools.is_array() || !std::ranges::all_of(tools, is_object)) {
    throw wrong("tools", "is not a list of JSON objects");
  }
  return tools;
}

void add_system(const ordered_json& row, ordered_json& messages) {
  const bool has_own = !messages.empty() && messages.front()["role"] == "system";
  std::string system = has_own ? "" : text_at(row, "system");
  if (!system.empty()) messages.insert(messages.begin(), message("system", std::move(system)));
}

ordered_json instruction_of(const ordered_json& row) {
  if (find(row, "instruction") == nullptr) throw wrong("instruction", "is missing");
  std::string text = text_at(row, "instruction");
  const std::string input = text_at(row, "input");
  if (!input.empty()) text += "\n\n" + input;
  return ordered_json::array({message("user", std::move(text))});
}

/// Messages of a key that holds one text or a list of messages.
ordered_json text_or_messages(const ordered_json& row, const std::string& key, const char* role) {
  const ordered_json* const value = find(row, key);
  if (value == nullptr) throw wrong(key, "is missing");
  if (value->is_array()) return read_messages(*value, key);
  return ordered_json::array({message(role, text_at(row, key))});
}

ordered_json prompt_and_answer(const ordered_json& row, const std::string& answer_key) {
  ordered_json answer = text_or_messages(row, answer_key, "assistant");
  // Preference data sets repeat the prompt at the start of `chosen`.
  if (!answer.empty() && answer.front()["role"] != "assistant") return answer;
  ordered_json messages = text_or_messages(row, "prompt", "user");
  for (ordered_json& message : answer) messages.push_back(std::move(message));
  return messages;
}

bool has(const std::vector<std::string>& keys, const char* key) {
  return std::ranges::find(keys, key) != keys.end();
}

}  // namespace

RowForm row_form(const std::vector<std::string>& keys) {
  for (const char* list : kMessageLists) {
    if (has(keys, list)) return {RowShape::kMessages, list};
  }
  if (has(keys, "instruction") && has(keys, "output")) return {RowShape::kInstruction, "output"};
  for (const char* answer : kAnswers) {
    if (has(keys, "prompt") && has(keys, answer)) return {RowShape::kPromptAnswer, answer};
  }
  return {};
}

std::vector<std::string> keys_of(const RowForm& form) {
  std::vector<std::string> keys = {form.key, "tools", "system"};
  if (form.shape == RowShape::kInstruction) keys.insert(keys.end(), {"instruction", "input"});
  if (form.shape == RowShape::kPromptAnswer) keys.emplace_back("prompt");
  return keys;
}

std::vector<std::string> question_keys() {
  return {"messages", "instruction", "input", "prompt", "tools", "system"};
}

std::optional<Conversation> conversation_of(const ordered_json& row, const RowForm& form) {
  if (!row.is_object()) {
    throw Error(ErrorKind::kInput,
                fmt::format("the row is a JSON {}, not an object", row.type_name()));
  }
  if (!row.contains(form.key)) throw wrong(form.key, "is missing");
  const ordered_json* const decisive = find(row, form.key);
  if (decisive == nullptr) return std::nullopt;
  Conversation conversation{.messages = ordered_json::array(), .tools = read_tools(row)};
  switch (form.shape) {
    case RowShape::kMessages:
      conversation.messages = read_messages(*decisive, form.key);
      break;
    case RowShape::kInstruction:
      conversation.messages = instruction_of(row);
      conversation.messages.push_back(message("assistant", text_at(row, form.key)));
      break;
    case RowShape::kPromptAnswer:
      conversation.messages = prompt_and_answer(row, form.key);
      break;
    case RowShape::kNone:
      break;
  }
  if (conversation.messages.empty()) return std::nullopt;
  add_system(row, conversation.messages);
  return conversation;
}

std::optional<Conversation> question_of(const ordered_json& row) {
  Conversation conversation{.messages = ordered_json::array(), .tools = read_tools(row)};
  if (find(row, "messages") != nullptr) {
    conversation.messages = text_or_messages(row, "messages", "user");
  } else if (find(row, "instruction") != nullptr) {
    conversation.messages = instruction_of(row);
  } else if (find(row, "prompt") != nullptr) {
    conversation.messages = text_or_messages(row, "prompt", "user");
  } else {
    return std::nullopt;
  }
  if (conversation.messages.empty()) throw Error(ErrorKind::kInput, "the conversation is empty");
  add_system(row, conversation.messages);
  return conversation;
}

std::string content_text(const ordered_json& content) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const ordered_json& part : content) {
    const bool is_text = part.is_object() && part.value("type", "text") == "text" &&
                         part.contains("text") && part["text"].is_string();
    if (!is_text && !part.is_string()) {
      throw Error(ErrorKind::kInput, "a content has a part that is not text");
    }
    if (!text.empty()) text += '\n';
    text +=
        is_text ? part["text"].get_ref<const std::string&>() : part.get_ref<const std::string&>();
  }
  return text;
}

std::string plain_text(const Conversation& conversation, RowShape shape) {
  const char* const separator = shape == RowShape::kPromptAnswer ? "" : "\n\n";
  std::string text;
  for (const ordered_json& message : conversation.messages) {
    const auto content = message.find("content");
    if (content == message.end() || content->is_null()) continue;
    if (!text.empty()) text += separator;
    text += content_text(*content);
  }
  return text;
}

}  // namespace prune::chat
