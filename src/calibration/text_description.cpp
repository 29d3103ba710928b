#include <prune/calibration/text_description.h>
#include <prune/core/json_file.h>

namespace prune::calibration {
namespace {

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

template <class T>
std::optional<T> value_or_none(const json& object, const char* key) {
  if (value_or<json>(object, key, nullptr).is_null()) return std::nullopt;
  return require<T>(object, key);
}

}  // namespace

nlohmann::json to_json(const TextDescription& text) {
  return {{"name", text.name},
          {"kind", text.kind},
          {"encoding", text.encoding},
          {"compression", text.compression},
          {"field", text.field},
          {"chat_template", text.chat_template},
          {"chat_date", text.chat_date},
          {"content_change", text.content_change},
          {"joined_by", or_null(text.joined_by)},
          {"rows", text.rows},
          {"blank_lines_skipped", text.blank_lines},
          {"null_rows_skipped", text.null_rows},
          {"empty_rows", text.empty_rows},
          {"rows_cut", text.rows_cut},
          {"line_ends_replaced", text.line_ends_replaced},
          {"bos", text.bos},
          {"tokens", or_null(text.tokens)},
          {"tokens_cut", or_null(text.tokens_cut)},
          {"short_rows", text.short_rows},
          {"rows_drawn", text.rows_drawn},
          {"rows_refused", text.rows_refused},
          {"rows_split", text.rows_split},
          {"rows_repeated", text.rows_repeated},
          {"samples", text.samples},
          {"guesses", text.guesses}};
}

TextDescription text_description(const nlohmann::json& text) {
  const auto word = [&](const char* key) { return value_or<std::string>(text, key, ""); };
  const auto count = [&](const char* key) { return value_or<int64_t>(text, key, 0); };
  return {.name = word("name"),
          .kind = word("kind"),
          .encoding = word("encoding"),
          .compression = word("compression"),
          .field = word("field"),
          .chat_template = word("chat_template"),
          .chat_date = word("chat_date"),
          .content_change = word("content_change"),
          .joined_by = value_or_none<std::string>(text, "joined_by"),
          .rows = count("rows"),
          .blank_lines = count("blank_lines_skipped"),
          .null_rows = count("null_rows_skipped"),
          .empty_rows = count("empty_rows"),
          .rows_cut = count("rows_cut"),
          .line_ends_replaced = count("line_ends_replaced"),
          .bos = value_or<bool>(text, "bos", false),
          .tokens = value_or_none<int64_t>(text, "tokens"),
          .tokens_cut = value_or_none<int64_t>(text, "tokens_cut"),
          .short_rows = count("short_rows"),
          .rows_drawn = count("rows_drawn"),
          .rows_refused = count("rows_refused"),
          .rows_split = count("rows_split"),
          .rows_repeated = count("rows_repeated"),
          .samples = count("samples"),
          .guesses = value_or<std::vector<std::string>>(text, "guesses", {})};
}

nlohmann::json to_json(const std::vector<TextDescription>& texts) {
  json list = json::array();
  for (const TextDescription& text : texts) list.push_back(to_json(text));
  return list;
}

std::vector<TextDescription> text_descriptions(const nlohmann::json& object, const char* key) {
  std::vector<TextDescription> texts;
  for (const json& text : value_or<json>(object, key, json::array())) {
    texts.push_back(text_description(text));
  }
  return texts;
}

}  // namespace prune::calibration
