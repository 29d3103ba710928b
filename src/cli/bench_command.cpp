#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <prune/core/json_file.h>
#include <prune/pipeline/bench.h>

#include "command_line.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

struct Row {
  std::string model;
  pipeline::BenchOptions options;
  pipeline::BenchResult result;

  double prompt_tokens_per_s() const {
    return static_cast<double>(options.prompt_tokens) / result.prompt_s;
  }
  double tokens_per_s() const {
    return static_cast<double>(options.max_tokens - 1) / result.decode_s;
  }
  double share_of_bandwidth() const {
    return static_cast<double>(result.read_bytes()) * tokens_per_s() / result.read_bytes_per_s;
  }
};

json to_json(const Row& row) {
  const pipeline::BenchResult& result = row.result;
  return {{"model", row.model},
          {"dtype", result.dtype},
          {"prompt_tokens", row.options.prompt_tokens},
          {"max_tokens", row.options.max_tokens},
          {"weight_bytes", result.weight_bytes},
          {"parameters", result.parameters},
          {"memory_bytes", result.memory_bytes},
          {"elapsed_s",
           {{"load", result.load_s}, {"prompt", result.prompt_s}, {"decode", result.decode_s}}},
          {"prompt_tokens_per_s", row.prompt_tokens_per_s()},
          {"tokens_per_s", row.tokens_per_s()},
          {"read_bytes_per_s", result.read_bytes_per_s},
          {"share_of_bandwidth", row.share_of_bandwidth()}};
}

std::string forms_of(const pipeline::BenchResult& result) {
  std::string text;
  for (const auto& [form, bytes] : result.weight_bytes) {
    text += (text.empty() ? "" : ", ") + form;
  }
  return text;
}

std::string table(const std::vector<Row>& rows) {
  size_t width = 5;
  for (const Row& row : rows) width = std::max(width, row.model.size());
  std::string text =
      fmt::format("{:<{}}  {:>8} {:>9} {:>9} {:>9} {:>9} {:>6} {:>6}  {}\n", "model", width,
                  "prompt", "first", "decode", "weights", "memory", "GB/s", "share", "form");
  text += fmt::format("{:<{}}  {:>8} {:>9} {:>9} {:>9} {:>9}\n", "", width, "tokens/s", "token ms",
                      "tokens/s", "MB", "MB");
  for (const Row& row : rows) {
    const pipeline::BenchResult& result = row.result;
    const auto read = static_cast<double>(result.read_bytes());
    text += fmt::format(
        "{:<{}}  {:>8.0f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>6.1f} {:>5.0f}%  {}\n", row.model,
        width, row.prompt_tokens_per_s(), result.prompt_s * 1e3, row.tokens_per_s(), read / 1e6,
        static_cast<double>(result.memory_bytes) / 1e6, read * row.tokens_per_s() / 1e9,
        100 * row.share_of_bandwidth(), forms_of(result));
  }
  return text;
}

}  // namespace

int run_bench_command(const Invocation& invocation) {
  CommonFlags flags;
  pipeline::BenchOptions options;
  std::vector<std::string> others;
  const auto app =
      make_app("prune bench", "Measures how fast checkpoints read a prompt and write text.", flags);
  set_group(*app, "Model");
  add_option(*app, "models", others, "further models, one after the other", kModel);
  set_group(*app, "Text");
  add_positive_option(*app, "--prompt-tokens", options.prompt_tokens, "random tokens to read");
  add_positive_option(*app, "--max-tokens", options.max_tokens, "tokens to write");
  add_positive_option(*app, "--repeats", options.repeats, "the fastest counts");
  add_head_bits(*app, options.head_bits);
  if (!parse_arguments(*app, invocation)) return 0;
  check_head_bits(options.head_bits);
  if (options.max_tokens < 2) {
    throw Error(ErrorKind::kUsage, "--max-tokens 1 leaves no token to time; give 2 or more");
  }
  std::vector<Row> rows;
  options.model = apply_common(flags);
  note_interrupts();
  rows.push_back({.model = flags.model, .options = options, .result = {}});
  for (const std::string& other : others) {
    options.model = look_up(other, flags);
    rows.push_back({.model = other, .options = options, .result = {}});
  }
  json results = json::array();
  for (Row& row : rows) {
    row.result = pipeline::bench(row.options);
    results.push_back(to_json(row));
  }
  write_stdout(flags.as_json ? json_text(results) + "\n" : table(rows));
  return 0;
}

}  // namespace prune::cli
