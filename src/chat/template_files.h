#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace prune::chat {

/// The text of a template and where it was found.
struct TemplateText {
  std::string place;  ///< "chat_template.jinja", "tokenizer_config.json (tool_use)"
  std::string text;
};

/// The templates of a checkpoint by name: "default" from chat_template.jinja, others from additional_chat_templates/;
/// without these files, those of tokenizer_config.json, one text or a list with names. Empty: none.
/// @throws Error(input) naming the file if one cannot be read or has another form.
std::map<std::string, TemplateText> templates_of(const std::filesystem::path& folder);

/// @throws Error(input) naming the file.
TemplateText read_template(const std::filesystem::path& file, const std::string& place);

}  // namespace prune::chat
