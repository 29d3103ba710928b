#include "row_collector.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <utility>

namespace prune::calibration {
namespace {

constexpr const char* kUsual = "text";
constexpr const char* kNextUsual = "content";

const RowKey* find(const std::vector<RowKey>& keys, const std::string& name) {
  const auto found = std::ranges::find(keys, name, &RowKey::name);
  return found == keys.end() ? nullptr : &*found;
}

std::vector<std::string> names_of(const std::vector<RowKey>& keys) {
  std::vector<std::string> names;
  for (const RowKey& key : keys) names.push_back(key.name);
  return names;
}

const char* describe(chat::RowShape shape) {
  switch (shape) {
    case chat::RowShape::kMessages:
      return "chats (messages with roles)";
    case chat::RowShape::kInstruction:
      return "instructions (alpaca: instruction, input, output)";
    case chat::RowShape::kPromptAnswer:
      return "prompts with answers";
    case chat::RowShape::kNone:
      break;
  }
  return "";
}

}  // namespace

void RowCollector::decide(const std::vector<RowKey>& keys) {
  TextDescription& about = source_.about;
  if (asked_) {
    about.field = *asked_;
    const RowKey* const key = find(keys, *asked_);
    if (key != nullptr && key->is_list) {
      choose_conversations({chat::RowShape::kMessages, *asked_}, /*has_text=*/false);
    }
    return;
  }
  const RowKey* const usual = find(keys, kUsual);
  const bool has_text = usual != nullptr && usual->is_text;
  const chat::RowForm form = chat::row_form(names_of(keys));
  if (form.shape != chat::RowShape::kNone && choose_conversations(form, has_text)) return;
  if (usual != nullptr) {
    about.field = kUsual;
    return;
  }
  const RowKey* const next = find(keys, kNextUsual);
  if (next == nullptr || !next->is_text) throw missing_field(kUsual, keys);
  about.guesses.push_back(fmt::format("the rows have no '{}'; '{}' is read", kUsual, kNextUsual));
  about.field = kNextUsual;
}

bool RowCollector::choose_conversations(const chat::RowForm& form, bool has_text) {
  TextDescription& about = source_.about;
  if (templates_.is_none()) {
    if (has_text) return false;
    about.chat_template = "none";
  } else {
    auto loaded = chat::ChatTemplate::load(templates_);
    if (!loaded) {
      if (has_text) return false;
      throw chat::missing_template(fmt::format("the rows are {}", describe(form.shape)),
                                   templates_);
    }
    about.chat_template = loaded->name();
    about.chat_date = loaded->date();
    about.content_change = loaded->content_change();
    source_.chat = std::make_shared<chat::ChatTemplate>(std::move(*loaded));
    if (has_text && templates_.name.empty()) {
      about.guesses.push_back(
          fmt::format("the rows are {} and have '{}' as well; the conversations are read, and "
                      "--text-field {} would read the text",
                      describe(form.shape), kUsual, kUsual));
    }
  }
  form_ = form;
  about.field = form.key;
  source_.conversations = true;
  return true;
}

void RowCollector::add_conversation(const nlohmann::ordered_json& row) {
  const auto conversation = row.is_null() ? std::nullopt : chat::conversation_of(row, form_);
  if (!conversation) {
    add_null();
  } else if (source_.chat) {
    const auto both = nlohmann::ordered_json::array({conversation->messages, conversation->tools});
    add_text(both.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    add_text(chat::plain_text(*conversation, form_.shape));
  }
}

Error missing_field(const std::string& field, const std::vector<RowKey>& keys) {
  std::string names;
  for (const RowKey& key : keys) names += (names.empty() ? "" : ", ") + printable(key.name);
  return {ErrorKind::kInput,
          fmt::format("key '{}' is missing; the row has {}; name the key of the text with "
                      "--text-field",
                      field, keys.empty() ? "none" : names)};
}

}  // namespace prune::calibration
