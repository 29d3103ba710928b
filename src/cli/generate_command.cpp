#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/pipeline/generate.h>

#include <iostream>
#include <iterator>

#include "command_line.h"
#include "recipe.h"
#include "terminal.h"
#include "text_flags.h"

namespace prune::cli {
namespace {

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void check_numbers(const pipeline::GenerateOptions& options) {
  check_head_bits(options.head_bits);
  if (options.max_tokens < 1) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--max-tokens {} is not positive", options.max_tokens));
  }
  if (!(options.sampling.temperature >= 0.0 && options.sampling.temperature < 1e6)) {
    throw Error(ErrorKind::kUsage, fmt::format("--temperature {} is not between 0 and 1e6",
                                               options.sampling.temperature));
  }
  if (!(options.sampling.top_p > 0.0 && options.sampling.top_p <= 1.0)) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--top-p {} is not in (0, 1]", options.sampling.top_p));
  }
}

json to_json(const pipeline::Generated& result, const std::string& model) {
  const auto decoded = static_cast<double>(result.ids.size()) - 1.0;
  return {{"model", model},
          {"dtype", result.dtype},
          {"prompt_tokens", result.prompt_tokens},
          {"ids", result.ids},
          {"text", result.text},
          {"stopped_by", result.stopped_by},
          {"elapsed_s",
           {{"load", result.load_s}, {"prompt", result.prompt_s}, {"decode", result.decode_s}}},
          {"tokens_per_s", decoded > 0.0 ? json(decoded / result.decode_s) : json()},
          {"peak_memory_bytes", peak_host_bytes()}};
}

}  // namespace

int run_generate_command(const Invocation& invocation) {
  CommonFlags flags;
  pipeline::GenerateOptions options;
  TextFlags text;
  const auto app = make_app("prune generate", "Continues a text with a checkpoint.", flags);
  set_group(*app, "Text");
  add_option(*app, "--prompt", options.prompt, "the text; -: stdin", "TEXT");
  add_flag(*app, "--chat", options.chat, "the prompt is a user's message to a chat model");
  add_option(*app, "--max-tokens", options.max_tokens, "stop after so many tokens");
  add_option(*app, "--temperature", options.sampling.temperature,
             "of the choice; 0: the most probable token");
  add_option(*app, "--top-p", options.sampling.top_p,
             "choose among the most probable tokens that reach this probability");
  add_option(*app, "--seed", options.sampling.seed, "of the choice");
  set_group(*app, kMore);
  add_head_bits(*app, options.head_bits);
  add_option(*app, "--add-bos", text.add_bos, "start the prompt with the BOS token", "auto|on|off");
  add_option(*app, "--chat-template", options.chat_template,
             "name of one of the checkpoint's templates, or a file");
  if (!parse_arguments(*app, invocation)) return 0;
  check_numbers(options);
  if (!is_given(*app, "--prompt")) {
    throw Error(ErrorKind::kUsage, "--prompt is missing: give the text to continue");
  }
  options.add_bos = add_bos_of(text);
  options.model = apply_common(flags);
  if (options.prompt == "-") options.prompt = read_stdin();
  note_interrupts();
  bool within_line = false;
  const auto show = [&](const std::string& part) {
    if (flags.as_json) return;
    write_stdout(part);
    within_line = true;
  };
  pipeline::Generated result;
  try {
    result = pipeline::generate(options, show);
  } catch (const Error&) {
    if (within_line) write_stdout("\n");
    throw;
  }
  write_stdout(flags.as_json ? json_text(to_json(result, flags.model)) + "\n" : "\n");
  return 0;
}

}  // namespace prune::cli
