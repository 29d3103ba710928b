#include "conversations.h"

#include <fmt/format.h>
#include <prune/chat/chat_template.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/python_random.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "token_set.h"

namespace prune::calibration {
namespace {

// So many refusals, more than there are accepted rows, mean that template and rows do not belong together.
constexpr int64_t kFewestRefusals = 100;

}  // namespace

std::vector<int64_t> ConversationEncoder::encode_accepted(const std::string& document) const {
  if (!text_.chat) return tokenizer::encode_text(tokenizer_, document, add_bos_);
  nlohmann::ordered_json both = parse_ordered_json(document);
  const std::string rendered =
      text_.chat->render({.messages = std::move(both[0]), .tools = std::move(both[1])},
                         /*add_generation_prompt=*/false);
  std::vector<int64_t> ids = tokenizer_.encode(rendered, /*add_special_tokens=*/false);
  // A template writes BOS itself where its model expects one.
  const bool wanted = add_bos_ == tokenizer::AddBos::kOn && !starts_with_bos(ids, tokenizer_);
  if (wanted) ids = tokenizer::encode_text(tokenizer_, rendered, add_bos_);
  return ids;
}

std::vector<int64_t> ConversationEncoder::encode(int64_t row) {
  std::vector<int64_t> ids;
  try {
    ids = encode_accepted(text_.documents[static_cast<size_t>(row)]);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput || !text_.chat) throw;
    if (about_.rows_refused++ == 0) {
      first_refusal_ = fmt::format("conversation {} (counted from 0): {}", row, error.what());
    }
    if (about_.rows_refused >= kFewestRefusals && about_.rows_refused > about_.rows_drawn) {
      throw Error(ErrorKind::kInput,
                  fmt::format("{}: the chat template refuses {} of {} rows; {}", about_.name,
                              about_.rows_refused, about_.rows_refused + about_.rows_drawn,
                              first_refusal_));
    }
    return {};
  }
  if (about_.rows_drawn++ == 0) about_.bos = starts_with_bos(ids, tokenizer_);
  about_.tokens = about_.tokens.value_or(0) + std::ssize(ids);
  return ids;
}

Error ConversationEncoder::no_tokens() const {
  return {
      ErrorKind::kInput,
      about_.rows_refused > 0
          ? fmt::format("{}: the chat template refuses every row; {}", about_.name, first_refusal_)
          : fmt::format("{}: its conversations have no tokens", about_.name)};
}

void ConversationEncoder::finish() {
  spdlog::info("{}: conversations drawn: {}, with {} tokens; skipped: {}", about_.name,
               about_.rows_drawn, about_.tokens.value_or(0), about_.rows_refused);
  if (about_.rows_refused == 0) return;
  about_.guesses.push_back(fmt::format("rows skipped because the template refuses them: {}; {}",
                                       about_.rows_refused, first_refusal_));
}

Tensor sample_conversations(const TextSource& text, const tokenizer::Tokenizer& tokenizer,
                            const CalibrationOptions& options, TextDescription& about) {
  PythonRandom random(options.seed);
  ConversationEncoder encoder(text, tokenizer, options.add_bos, about);
  const auto rows = static_cast<int64_t>(text.documents.size());
  std::vector<int64_t> order = random.shuffled_range(rows);
  size_t next = 0;
  int64_t drawn_once = 0;  // rows drawn in the first pass, known when it has ended
  const auto draw = [&] {
    if (next == order.size()) {
      if (about.tokens.value_or(0) == 0) throw encoder.no_tokens();
      if (drawn_once == 0) drawn_once = about.rows_drawn;
      order = random.shuffled_range(rows);
      next = 0;
    }
    return encoder.encode(order[next++]);
  };
  Tensor samples = at::empty({options.nsamples, options.seqlen}, at::kLong);
  about.tokens_cut = 0;
  for (int64_t sample = 0; sample < options.nsamples; ++sample) {
    std::vector<int64_t> ids;
    while (std::ssize(ids) < options.seqlen) {
      const std::vector<int64_t> more = draw();
      ids.insert(ids.end(), more.begin(), more.end());
    }
    copy_row_(samples, sample, ids.data());
    const int64_t beyond = std::ssize(ids) - options.seqlen;
    *about.tokens_cut += beyond;
    if (beyond > 0) ++about.rows_split;
  }
  if (drawn_once > 0) {
    about.rows_repeated = about.rows_drawn - drawn_once;
    about.guesses.push_back(
        fmt::format("conversations drawn more than once: {} of {}; the samples "
                    "need more tokens than there are",
                    about.rows_repeated, about.rows_drawn));
  }
  encoder.finish();
  return samples;
}

std::vector<int64_t> encode_conversations(const TextSource& text,
                                          const tokenizer::Tokenizer& tokenizer,
                                          tokenizer::AddBos add_bos, TextDescription& about) {
  ConversationEncoder encoder(text, tokenizer, add_bos, about);
  std::vector<int64_t> ids;
  for (int64_t row = 0; row < std::ssize(text.documents); ++row) {
    const std::vector<int64_t> more = encoder.encode(row);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  if (ids.empty()) throw encoder.no_tokens();
  encoder.finish();
  return ids;
}

}  // namespace prune::calibration
