#include "row_field.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <algorithm>

namespace prune::calibration {
namespace {

constexpr const char* kUsual = "text";
constexpr const char* kNextUsual = "content";

const RowKey* find(const std::vector<RowKey>& keys, const std::string& name) {
  const auto found = std::ranges::find(keys, name, &RowKey::name);
  return found == keys.end() ? nullptr : &*found;
}

std::string listed(const std::vector<RowKey>& keys, bool texts_only) {
  std::string names;
  for (const RowKey& key : keys) {
    if (texts_only && !key.is_text) continue;
    names += (names.empty() ? "" : ", ") + printable(key.name);
  }
  return names;
}

const char* describe(RowShape shape) {
  switch (shape) {
    case RowShape::kMessages:
      return "the rows are chats (messages with roles)";
    case RowShape::kInstruction:
      return "the rows are instructions (alpaca: instruction, input, output)";
    case RowShape::kPromptAnswer:
      return "the rows are prompts with answers";
    case RowShape::kPlain:
      break;
  }
  return "";
}

}  // namespace

RowShape shape_of(const std::vector<RowKey>& keys) {
  const auto has = [&](const char* name) { return find(keys, name) != nullptr; };
  if (has("messages") || has("conversations")) return RowShape::kMessages;
  if (has("instruction") && has("output")) return RowShape::kInstruction;
  if (has("prompt") && (has("completion") || has("response") || has("chosen"))) {
    return RowShape::kPromptAnswer;
  }
  return RowShape::kPlain;
}

std::string choose_field(const std::optional<std::string>& asked, const std::vector<RowKey>& keys,
                         std::vector<std::string>& guesses) {
  if (asked) return *asked;
  if (find(keys, kUsual) != nullptr) return kUsual;
  const RowKey* const next = find(keys, kNextUsual);
  if (next == nullptr || !next->is_text) throw missing_field(kUsual, keys);
  guesses.push_back(fmt::format("the rows have no '{}'; '{}' is read", kUsual, kNextUsual));
  return kNextUsual;
}

Error missing_field(const std::string& field, const std::vector<RowKey>& keys) {
  const std::string start = fmt::format("key '{}' is missing; ", field);
  const std::string texts = listed(keys, /*texts_only=*/true);
  const RowShape shape = shape_of(keys);
  if (shape == RowShape::kPlain) {
    return {ErrorKind::kInput,
            fmt::format("{}the row has {}; name the key of the text with --text-field", start,
                        keys.empty() ? "none" : listed(keys, /*texts_only=*/false))};
  }
  return {ErrorKind::kInput,
          fmt::format("{}{}, and chat templates are not applied yet; {}", start, describe(shape),
                      texts.empty() ? "none of their keys holds plain text"
                                    : "--text-field can name one key of plain text: " + texts)};
}

}  // namespace prune::calibration
