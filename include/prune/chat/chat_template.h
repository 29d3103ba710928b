#pragma once

#include <prune/chat/conversation.h>
#include <prune/core/error.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace prune::chat {

/// Where the template of a run comes from.
struct TemplateChoice {
  std::filesystem::path folder = {};  ///< of the checkpoint; empty: none
  /// "none", the name of one of the checkpoint's templates, or a file; empty: the checkpoint's default
  std::string name = {};
  std::map<std::string, std::string> special_tokens =
      {};  ///< of the tokenizer: variables of the template

  bool is_none() const { return name == "none"; }
};

/// What to throw for a conversation if ChatTemplate::load() finds no template.
/// @param what  "the rows are chats"
Error missing_template(const std::string& what, const TemplateChoice& choice);

/// A checkpoint's chat template, or one from a file. It renders the text that Transformers' apply_chat_template
/// renders (src/chat/README.md, "Templates").
class ChatTemplate {
 public:
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// @return std::nullopt if the choice names none and the checkpoint has none
  /// @throws Error(input) naming the file if a template is broken or uses what is not supported, or if the choice
  ///         names neither a template nor a file, with the names there are; Error(usage) for "none".
  static std::optional<ChatTemplate> load(const TemplateChoice& choice);

  /// @param add_generation_prompt  ends with what precedes an answer of the assistant
  /// @throws Error(input) if the template refuses the conversation or cannot render it.
  std::string render(const Conversation& conversation, bool add_generation_prompt) const;

  /// The file, and the name within it: "tokenizer_config.json (tool_use)".
  const std::string& name() const { return name_; }
  /// The date that the template is given, as 2024-07-26; empty if it does not ask for one.
  std::string date() const;
  /// How contents are changed before they are rendered; empty: not at all.
  std::string content_change() const;

 private:
  struct Variant;

  ChatTemplate();

  std::string name_;
  nlohmann::ordered_json variables_;
  bool asks_for_date_ = false;
  std::vector<Variant>
      variants_;  ///< the default, then the one for conversations with tools, if there is one
};

}  // namespace prune::chat
