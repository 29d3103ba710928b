#include <prune/calibration/row_objects.h>
#include <prune/chat/chat_template.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/evaluation/multiple_choice.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "run_blocks.h"

namespace prune::evaluation {
namespace {

// One context with one of its choices.
struct Request {
  size_t item = 0;
  size_t choice = 0;
  std::vector<int64_t> tokens;
  size_t scored = 0;  // number of tokens at the end that are the choice's
};

MultipleChoiceItem item_of(const json& object) {
  MultipleChoiceItem item{.context = value_or<std::string>(object, "context", ""),
                          .choices = require<std::vector<std::string>>(object, "choices"),
                          .answer = require<int64_t>(object, "answer")};
  if (item.choices.size() < 2) throw Error(ErrorKind::kInput, "'choices' holds fewer than two");
  if (std::ranges::any_of(item.choices, &std::string::empty)) {
    throw Error(ErrorKind::kInput, "'choices' holds an empty text");
  }
  if (item.answer < 0 || item.answer >= static_cast<int64_t>(item.choices.size())) {
    throw Error(ErrorKind::kInput, fmt::format("'answer' {} is not an index into the {} choices",
                                               item.answer, item.choices.size()));
  }
  return item;
}

/// Renders the questions of a task's rows that are chats.
class Questions {
 public:
  explicit Questions(const chat::TemplateChoice& templates) : templates_(templates) {}

  /// The item's context from a row without `context`.
  void ask(const chat::Conversation& question, MultipleChoiceItem& item) {
    if (templates_.is_none()) {
      item.context = chat::plain_text(question, chat::RowShape::kMessages);
      return;
    }
    if (!loaded_) loaded_ = chat::ChatTemplate::load(templates_);
    if (!loaded_) throw chat::missing_template("the item is a chat", templates_);
    item.context = loaded_->render(question, /*add_generation_prompt=*/true);
    item.is_chat = true;
  }

 private:
  const chat::TemplateChoice& templates_;
  std::optional<chat::ChatTemplate> loaded_;
};

/// The ids of a choice after an empty context: BOS, or EOS where there is none, stands before it, once.
std::vector<int64_t> tokens_after_nothing(const std::string& choice,
                                          const tokenizer::Tokenizer& tokenizer) {
  std::vector<int64_t> ids = tokenizer.encode(" " + choice, /*add_special_tokens=*/false);
  const std::optional<int64_t> bos = tokenizer.bos_id();
  const std::optional<int64_t> first = bos ? bos : tokenizer.eos_id();
  if (!first) {
    throw Error(ErrorKind::kInput,
                "'context' is empty, and the tokenizer names no BOS or EOS to stand in its place");
  }
  if (ids.empty() || ids.front() != *first) ids.insert(ids.begin(), *first);
  return ids;
}

Request make_request(const MultipleChoiceItem& item, size_t choice,
                     const tokenizer::Tokenizer& tokenizer, const TaskOptions& options,
                     int64_t longest, int64_t& cut) {
  Request request{.choice = choice};
  if (item.context.empty()) {
    request.tokens = tokens_after_nothing(item.choices[choice], tokenizer);
    request.scored = request.tokens.size() - 1;
  } else {
    const auto encode = [&](const std::string& text) {
      const bool as_template = item.is_chat && options.add_bos != tokenizer::AddBos::kOn;
      return as_template ? tokenizer.encode(text, /*add_special_tokens=*/false)
                         : tokenizer::encode_text(tokenizer, text, options.add_bos);
    };
    const size_t end = item.context.find_last_not_of(" \t\n\r\f\v") + 1;
    const size_t before = encode(item.context.substr(0, end)).size();
    if (before == 0) throw Error(ErrorKind::kInput, "'context' has no tokens");
    request.tokens = encode(item.context + (item.is_chat ? "" : " ") + item.choices[choice]);
    request.scored = request.tokens.size() - std::min(before, request.tokens.size());
  }
  // The last token is only scored, so a request may be one token longer than the model's positions.
  const auto room = static_cast<size_t>(longest) + 1;
  if (longest > 0 && request.tokens.size() > room) {
    request.tokens.erase(request.tokens.begin(), request.tokens.end() - static_cast<int64_t>(room));
    request.scored = std::min(request.scored, room - 1);
    ++cut;
  }
  return request;
}

// Pads at the right: attention is causal, so padding changes nothing before it.
Tensor padded_ids(const std::vector<Request>& requests) {
  size_t longest = 1;
  for (const Request& request : requests) longest = std::max(longest, request.tokens.size() - 1);
  Tensor ids =
      at::zeros({static_cast<int64_t>(requests.size()), static_cast<int64_t>(longest)}, at::kLong);
  for (size_t i = 0; i < requests.size(); ++i) {
    std::copy(requests[i].tokens.begin(), requests[i].tokens.end() - 1,
              ids[static_cast<int64_t>(i)].data_ptr<int64_t>());
  }
  return ids;
}

// Groups requests of similar length, so that padding is at most a quarter of a group.
std::vector<std::vector<Request>> by_length(std::vector<Request> requests) {
  std::ranges::stable_sort(requests, std::greater<>(),
                           [](const Request& request) { return request.tokens.size(); });
  std::vector<std::vector<Request>> groups;
  for (Request& request : requests) {
    if (groups.empty() || 4 * request.tokens.size() < 3 * groups.back().front().tokens.size()) {
      groups.emplace_back();
    }
    groups.back().push_back(std::move(request));
  }
  return groups;
}

// Sum of the log-likelihoods of a request's scored tokens, in nats.
// @param hidden  [seqlen, hidden_size]
double loglikelihood(const models::Head& head, const Tensor& hidden, const Request& request) {
  const auto end = static_cast<int64_t>(request.tokens.size()) - 1;
  const auto scored = static_cast<int64_t>(request.scored);
  if (scored == 0) return 0.0;
  const Tensor targets =
      at::tensor(request.tokens, at::kLong).slice(0, end + 1 - scored).to(hidden.device());
  const Tensor logits = head.logits(hidden.slice(0, end - scored, end)).to(at::kFloat);
  return -at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum).item<double>();
}

// Code points, as Python's len() counts them: bytes that do not continue a UTF-8 sequence.
double characters(const std::string& text) {
  return static_cast<double>(
      std::ranges::count_if(text, [](char c) { return (c & '\xC0') != '\x80'; }));
}

bool answer_is_largest(const std::vector<double>& scores, int64_t answer) {
  return std::ranges::max_element(scores) - scores.begin() == answer;
}

}  // namespace

std::vector<MultipleChoiceItem> read_task(const std::filesystem::path& file,
                                          const chat::TemplateChoice& templates) {
  std::vector<MultipleChoiceItem> items;
  Questions questions(templates);
  std::vector<std::string> keys = {"choices", "answer", "context"};
  std::ranges::copy(chat::question_keys(), std::back_inserter(keys));
  calibration::for_each_row_object(file, keys, [&](const nlohmann::ordered_json& row) {
    MultipleChoiceItem item = item_of(json(row));
    const auto context = row.find("context");
    if (context == row.end() || context->is_null()) {
      const auto question = chat::question_of(row);
      if (!question) throw_json_error("context", "is missing");
      questions.ask(*question, item);
    }
    items.push_back(std::move(item));
  });
  if (items.empty()) throw Error(ErrorKind::kInput, file.string() + ": contains no items");
  return items;
}

MultipleChoiceResult multiple_choice(const models::Model& model,
                                     const tokenizer::Tokenizer& tokenizer,
                                     const std::vector<MultipleChoiceItem>& items,
                                     const TaskOptions& options, Progress& progress) {
  MultipleChoiceResult result{.dtype = dtype_name(model.dtype())};
  std::vector<Request> requests;
  for (size_t i = 0; i < items.size(); ++i) {
    result.loglikelihoods.emplace_back(items[i].choices.size());
    for (size_t c = 0; c < items[i].choices.size(); ++c) {
      try {
        requests.push_back(make_request(items[i], c, tokenizer, options,
                                        model.config().max_positions, result.cut));
        model.check_vocabulary(std::ranges::max(requests.back().tokens));
      } catch (Error& error) {
        throw error.in(fmt::format("item {}, choice {}", i, c));
      }
      requests.back().item = i;
    }
  }
  const std::vector<std::vector<Request>> groups = by_length(std::move(requests));
  std::vector<Tensor> ids;
  for (const std::vector<Request>& group : groups) ids.push_back(padded_ids(group));
  const auto streams =
      run_blocks(model, ids, options.scratch, /*batch=*/0, "evaluate task", progress);
  const auto head = model.load_head();
  for (size_t g = 0; g < groups.size(); ++g) {
    streams[g].for_each_batch([&](int64_t first, const Tensor& batch) {
      for (int64_t i = 0; i < batch.size(0); ++i) {
        const Request& request = groups[g][static_cast<size_t>(first + i)];
        const double score = loglikelihood(*head, batch[i], request);
        if (!std::isfinite(score)) {
          throw Error(ErrorKind::kNumeric,
                      fmt::format("the log-likelihood of item {}, choice {} is {}", request.item,
                                  request.choice, score));
        }
        result.loglikelihoods[request.item][request.choice] = score;
      }
    });
  }
  model.drop_ends();

  int64_t right = 0;
  int64_t right_normalized = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    std::vector<double> scores = result.loglikelihoods[i];
    if (answer_is_largest(scores, items[i].answer)) ++right;
    for (size_t c = 0; c < scores.size(); ++c) scores[c] /= characters(items[i].choices[c]);
    if (answer_is_largest(scores, items[i].answer)) ++right_normalized;
  }
  const auto count = static_cast<double>(items.size());
  result.accuracy = static_cast<double>(right) / count;
  result.normalized = static_cast<double>(right_normalized) / count;
  return result;
}

nlohmann::json to_json(const MultipleChoiceResult& result) {
  const auto standard_error = [&](double share) {
    const auto count = static_cast<double>(result.items());
    return count < 2 ? 0.0 : std::sqrt(share * (1.0 - share) / (count - 1.0));
  };
  return {{"task", result.source},
          {"dtype", result.dtype},
          {"items", result.items()},
          {"requests_cut", result.cut},
          {"acc", result.accuracy},
          {"acc_stderr", standard_error(result.accuracy)},
          {"acc_norm", result.normalized},
          {"acc_norm_stderr", standard_error(result.normalized)},
          {"loglikelihoods", result.loglikelihoods}};
}

}  // namespace prune::evaluation
