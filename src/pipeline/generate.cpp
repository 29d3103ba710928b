#include <prune/chat/chat_template.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/stopwatch.h>
#include <prune/generation/generator.h>
#include <prune/pipeline/generate.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "inputs.h"

namespace prune::pipeline {
namespace {

namespace fs = std::filesystem;

std::string chat_text(const GenerateOptions& options, const tokenizer::Tokenizer& tokenizer) {
  const chat::TemplateChoice choice{.folder = options.model.folder,
                                    .name = options.chat_template,
                                    .special_tokens = tokenizer.special_tokens()};
  const auto by_template = chat::ChatTemplate::load(choice);
  if (!by_template) throw chat::missing_template("--chat was given", choice);
  return by_template->render(
      {.messages = {{{"role", "user"}, {"content", options.prompt}}}, .tools = nullptr},
      /*add_generation_prompt=*/true);
}

std::vector<int64_t> prompt_ids(const GenerateOptions& options, const models::Model& model,
                                const tokenizer::Tokenizer& tokenizer) {
  // A template writes its own special tokens.
  std::vector<int64_t> ids =
      options.chat ? tokenizer.encode(chat_text(options, tokenizer), /*add_special_tokens=*/false)
                   : tokenizer::encode_text(tokenizer, options.prompt, options.add_bos);
  if (ids.empty()) {
    throw Error(ErrorKind::kInput, "the prompt has no token; give some text with --prompt");
  }
  model.check_vocabulary(std::ranges::max(ids));
  const int64_t longest = model.config().max_positions;
  if (longest > 0 && std::ssize(ids) > longest) {
    throw Error(ErrorKind::kInput, fmt::format("the prompt has {} tokens, the model {} positions",
                                               ids.size(), longest));
  }
  return ids;
}

// The tokens that end a text: eos_token_id of generation_config.json, else of config.json, else the tokenizer's.
std::set<int64_t> end_ids(const fs::path& folder, const tokenizer::Tokenizer& tokenizer) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (!fs::exists(folder / name)) continue;
    const json ids = value_or(read_json(folder / name), "eos_token_id", json());
    if (ids.is_number_integer()) return {ids.get<int64_t>()};
    if (!ids.is_array()) continue;
    std::set<int64_t> result;
    for (const json& id : ids) {
      if (id.is_number_integer()) result.insert(id.get<int64_t>());
    }
    if (!result.empty()) return result;
  }
  const auto eos = tokenizer.eos_id();
  return eos ? std::set<int64_t>{*eos} : std::set<int64_t>{};
}

}  // namespace

Generated generate(const GenerateOptions& options,
                   const std::function<void(const std::string&)>& on_text) {
  Stopwatch clock;
  const models::Model model =
      open_model(options.model, models::ModelOptions::Linears::kPacked, options.head_bits);
  model.check_head();
  const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
  const std::vector<int64_t> prompt = prompt_ids(options, model, *tokenizer);
  const std::set<int64_t> ends = end_ids(options.model.folder, *tokenizer);
  generation::Generator generator(model);
  generation::Sampler choose(options.sampling);
  tokenizer::TextStream text(*tokenizer);
  Generated result{.prompt_tokens = std::ssize(prompt),
                   .dtype = std::string(dtype_name(model.dtype())),
                   .load_s = clock.lap_s()};
  const auto show = [&](const std::string& part) {
    if (part.empty()) return;
    result.text += part;
    on_text(part);
  };
  // The last token is not read.
  const int64_t positions = model.config().max_positions;
  const int64_t room = positions > 0 ? positions - result.prompt_tokens + 1 : options.max_tokens;
  result.stopped_by = room < options.max_tokens ? "positions" : "tokens";
  std::vector<int64_t> next = prompt;
  while (std::ssize(result.ids) < std::min(room, options.max_tokens)) {
    const int64_t id = choose(generator.read(next));
    if (result.ids.empty()) result.prompt_s = clock.lap_s();
    if (ends.contains(id)) {
      result.stopped_by = "end";
      break;
    }
    result.ids.push_back(id);
    show(text.push(id));
    next = {id};
  }
  show(text.finish());
  result.decode_s = clock.lap_s();
  return result;
}

}  // namespace prune::pipeline
