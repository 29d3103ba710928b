#pragma once

#include <prune/calibration/text_source.h>
#include <prune/chat/chat_template.h>
#include <prune/core/error.h>

#include <optional>
#include <string>
#include <vector>

namespace prune::calibration {

/// A key of a JSON row or a column of a Parquet file.
struct RowKey {
  std::string name;
  bool is_text = false;
  bool is_list = false;
};

/// Collects the documents of rows: the text of one field, or the conversations of a chat data set
/// (src/calibration/README.md, "Text files"). The first row decides which.
class RowCollector {
 public:
  /// @param field  as in TextFile
  /// @param source  gets documents, counts, guesses and the chat template
  RowCollector(const std::optional<std::string>& field, const chat::TemplateChoice& templates,
               TextSource& source)
      : asked_(field), templates_(templates), source_(source) {}

  /// Takes `--text-field`, where a list names the messages of a chat; else a chat, if the rows have the shape of
  /// one; else `text`, else `content`, which is a guess.
  /// @throws Error(input) if there is none of these, or chats without a template.
  void decide(const std::vector<RowKey>& keys);
  bool decided() const { return !source_.about.field.empty(); }
  bool takes_conversations() const { return form_.shape != chat::RowShape::kNone; }
  const chat::RowForm& form() const { return form_; }
  const std::string& field() const { return source_.about.field; }
  const std::optional<std::string>& asked() const { return asked_; }

  void add_text(std::string text) { source_.documents.push_back(std::move(text)); }
  void add_null() { ++source_.about.null_rows; }
  /// @throws Error(input) as chat::conversation_of().
  void add_conversation(const nlohmann::ordered_json& row);

 private:
  /// Returns false if the rows' `text` is to be read instead.
  bool choose_conversations(const chat::RowForm& form, bool has_text);

  const std::optional<std::string>& asked_;
  const chat::TemplateChoice& templates_;
  TextSource& source_;
  chat::RowForm form_;
};

/// "key 'text' is missing", what the row has instead, and what --text-field could name.
Error missing_field(const std::string& field, const std::vector<RowKey>& keys);

}  // namespace prune::calibration
