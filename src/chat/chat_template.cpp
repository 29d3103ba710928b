#include <fmt/format.h>
#include <prune/chat/chat_template.h>
#include <prune/core/error.h>
#include <prune/jinja/template.h>

#include <cstdlib>
#include <ctime>
#include <utility>

#include "template_files.h"

namespace prune::chat {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kDefault = "default";
constexpr const char* kForTools = "tool_use";

/// The time that templates are given, in seconds since 1970. A text that changed with the day would make every
/// perplexity and every resumed run depend on it, so it is 26 July 2024, the date that LLaMA 3's templates print if
/// they get none, or SOURCE_DATE_EPOCH.
int64_t template_time() {
  constexpr int64_t kDate = 1721952000;
  const char* const given = std::getenv("SOURCE_DATE_EPOCH");
  if (given == nullptr) return kDate;
  char* end = nullptr;
  const int64_t seconds = std::strtoll(given, &end, 10);
  return *given != '\0' && *end == '\0' ? seconds : kDate;
}

/// The templates of the choice: the one it names, or the default and the one for tools.
std::vector<TemplateText> chosen_texts(const TemplateChoice& choice) {
  auto templates =
      choice.folder.empty() ? std::map<std::string, TemplateText>() : templates_of(choice.folder);
  std::vector<TemplateText> texts;
  const auto take = [&](const std::string& name) {
    const auto found = templates.find(name);
    if (found != templates.end()) texts.push_back(std::move(found->second));
    return found != templates.end();
  };
  if (choice.name.empty()) {
    if (take(kDefault)) take(kForTools);
  } else if (!take(choice.name)) {
    std::error_code failure;
    if (fs::exists(choice.name, failure)) return {read_template(choice.name, choice.name)};
  }
  if (!texts.empty() || (choice.name.empty() && templates.empty())) return texts;
  std::string names;
  for (const auto& [name, text] : templates) names += (names.empty() ? "" : ", ") + name;
  const std::string there =
      templates.empty()
          ? fmt::format("{} has no chat templates", choice.folder.string())
          : fmt::format("{} has the chat templates {}", choice.folder.string(), names);
  throw Error(
      ErrorKind::kInput,
      choice.name.empty()
          ? fmt::format("{}, none of them the default; name one with --chat-template", there)
          : fmt::format("--chat-template '{}' is not a file, and {}", choice.name, there));
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

/// A content as a list of parts.
ordered_json parts_of(const ordered_json& content) {
  return ordered_json::array({{{"type", "text"}, {"text", content}}});
}

}  // namespace

/// One of the templates with the forms of content that it prints.
struct ChatTemplate::Variant {
  Variant(const TemplateText& text, const ordered_json& variables) : parsed(text.place, text.text) {
    takes_text = prints(kProbe, variables);
    takes_parts = prints(parts_of(kProbe), variables);
    // A template that prints neither wants more than one message of a user; its contents stay as they are.
    if (!takes_text && !takes_parts) takes_text = takes_parts = true;
  }

  jinja::Template parsed;
  bool takes_text = true;
  bool takes_parts = true;

 private:
  static constexpr const char* kProbe = "probe of a content";

  bool prints(const ordered_json& content, const ordered_json& variables) const {
    ordered_json context = variables;
    context["messages"] = ordered_json::array({{{"role", "user"}, {"content", content}}});
    try {
      const std::string text = parsed.render(context, template_time());
      // A template that prints a list as Python does has no rule for parts.
      return contains(text, kProbe) && !contains(text, "'text'") && !contains(text, "\"text\"");
    } catch (const Error&) {
      return false;
    }
  }
};

ChatTemplate::ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Error missing_template(const std::string& what, const TemplateChoice& choice) {
  return {
      ErrorKind::kInput,
      fmt::format("{}, but {} has no chat template; give one with --chat-template FILE, or join "
                  "the texts with --chat-template none",
                  what, choice.folder.empty() ? "the model" : choice.folder.string())};
}

std::optional<ChatTemplate> ChatTemplate::load(const TemplateChoice& choice) {
  if (choice.is_none()) throw Error(ErrorKind::kUsage, "--chat-template none names no template");
  const std::vector<TemplateText> texts = chosen_texts(choice);
  if (texts.empty()) return std::nullopt;
  ChatTemplate loaded;
  loaded.variables_ = {
      {"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  for (const auto& [key, token] : choice.special_tokens) loaded.variables_[key] = token;
  for (const TemplateText& text : texts) {
    loaded.name_ += (loaded.name_.empty() ? "" : ", ") + text.place;
    loaded.asks_for_date_ = loaded.asks_for_date_ || contains(text.text, "strftime_now");
    loaded.variants_.emplace_back(text, loaded.variables_);
  }
  return loaded;
}

std::string ChatTemplate::render(const Conversation& conversation,
                                 bool add_generation_prompt) const {
  const Variant& used = conversation.tools.is_null() ? variants_.front() : variants_.back();
  ordered_json context = variables_;
  context["messages"] = conversation.messages;
  context["tools"] = conversation.tools;
  context["add_generation_prompt"] = add_generation_prompt;
  for (ordered_json& message : context["messages"]) {
    const auto content = message.find("content");
    if (content == message.end()) continue;
    // Parts other than text stand for images and sounds, which no text model has seen.
    if (content->is_array()) {
      std::string text = content_text(*content);
      if (!used.takes_parts) *content = std::move(text);
    } else if (content->is_string() && !used.takes_text) {
      *content = parts_of(*content);
    }
  }
  return used.parsed.render(context, template_time());
}

std::string ChatTemplate::date() const {
  if (!asks_for_date_) return "";
  const std::time_t seconds = template_time();
  std::tm time{};
  gmtime_r(&seconds, &time);
  return fmt::format("{:04}-{:02}-{:02}", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday);
}

std::string ChatTemplate::content_change() const {
  const Variant& used = variants_.front();
  if (!used.takes_parts) return "parts of text are joined by line feeds";
  if (!used.takes_text) return "texts become lists of one part";
  return "";
}

}  // namespace prune::chat
