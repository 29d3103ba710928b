#include "post_processor.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <algorithm>
#include <string>
#include <utility>

namespace prune::tokenizer {
namespace {

/// One element of a template: the text's ids, or those of a special token.
struct TemplatePiece {
  bool is_text;
  std::vector<int64_t> ids;
};

int64_t read_id(const json& id) {
  if (is_integer<int64_t>(id)) return id.get<int64_t>();
  throw Error(ErrorKind::kInput, fmt::format("post_processor: {} is not a token id", id.dump()));
}

TemplatePiece read_piece(const json& piece, const json& special_tokens) {
  if (piece.contains("Sequence")) {
    const auto id = require<std::string>(piece["Sequence"], "id");
    if (id == "A") return {true, {}};
    throw Error(ErrorKind::kInput,
                fmt::format("TemplateProcessing: 'single' names the sequence '{}'", id));
  }
  const auto name = require<std::string>(require<json>(piece, "SpecialToken"), "id");
  const auto token = require<json>(special_tokens, name.c_str());
  std::vector<int64_t> ids;
  for (const json& id : require<json>(token, "ids")) ids.push_back(read_id(id));
  return {false, std::move(ids)};
}

PostProcessor template_processing(const json& description) {
  const json special_tokens = value_or(description, "special_tokens", json::object());
  std::vector<TemplatePiece> pieces;
  for (const json& piece : require<json>(description, "single")) {
    pieces.push_back(read_piece(piece, special_tokens));
  }
  if (std::ranges::count(pieces, true, &TemplatePiece::is_text) > 1) {
    throw Error(ErrorKind::kInput, "TemplateProcessing: 'single' repeats the text");
  }
  return [pieces = std::move(pieces)](std::vector<int64_t>& ids) {
    const std::vector<int64_t> text = std::move(ids);
    ids.clear();
    for (const TemplatePiece& piece : pieces) {
      const std::vector<int64_t>& source = piece.is_text ? text : piece.ids;
      ids.insert(ids.end(), source.begin(), source.end());
    }
  };
}

/// BertProcessing and RobertaProcessing: "cls" and "sep" are [token, id].
PostProcessor cls_and_sep(const json& description) {
  const auto id_of = [&](const char* key) {
    return read_id(require<json>(description, key).at(1));
  };
  return surround({id_of("cls")}, {id_of("sep")});
}

PostProcessor sequence(const json& description) {
  std::vector<PostProcessor> steps;
  for (const json& step : require<json>(description, "processors")) {
    steps.push_back(make_post_processor(step));
  }
  return [steps = std::move(steps)](std::vector<int64_t>& ids) {
    for (const PostProcessor& step : steps) step(ids);
  };
}

}  // namespace

PostProcessor surround(std::vector<int64_t> before, std::vector<int64_t> after) {
  return [before = std::move(before), after = std::move(after)](std::vector<int64_t>& ids) {
    ids.insert(ids.begin(), before.begin(), before.end());
    ids.insert(ids.end(), after.begin(), after.end());
  };
}

PostProcessor make_post_processor(const json& description) {
  if (description.is_null()) return surround({}, {});
  const auto type = require<std::string>(description, "type");
  if (type == "Sequence") return sequence(description);
  if (type == "TemplateProcessing") return template_processing(description);
  if (type == "ByteLevel") return surround({}, {});  // it only adjusts offsets
  if (type == "BertProcessing" || type == "RobertaProcessing") return cls_and_sep(description);
  throw Error(ErrorKind::kInput, fmt::format("post_processor '{}' is not supported", type));
}

}  // namespace prune::tokenizer
