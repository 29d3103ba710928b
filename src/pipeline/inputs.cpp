#include "inputs.h"

#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/dist/sample_split.h>
#include <prune/evaluation/perplexity.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <regex>

#include "smaller_model.h"
#include "sparse_input.h"

namespace prune::pipeline {
namespace {

// The schedule hardly depends on how many samples the losses are estimated from, while the pass's time is
// proportional to them (scripts/bench/RESULTS.md).
constexpr int64_t kShareForEstimates = 4;
constexpr int64_t kFewestForEstimates = 8;

constexpr int64_t kLongestDefaultSeqlen = 2048;

std::optional<at::ScalarType> parse_dtype(const std::string& name) {
  static const std::map<std::string, std::optional<at::ScalarType>> kDtypes = {
      {"auto", std::nullopt},
      {"float32", at::kFloat},
      {"float16", at::kHalf},
      {"bfloat16", at::kBFloat16}};
  const auto found = kDtypes.find(name);
  if (found == kDtypes.end()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("dtype '{}' is not one of auto, float32, float16, bfloat16", name));
  }
  return found->second;
}

std::regex parse_regex(const std::string& flag, const std::string& expression) {
  try {
    return std::regex(expression);
  } catch (const std::regex_error& e) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} '{}' is not a regular expression: {}", flag, expression, e.what()));
  }
}

void check_pattern(const solver::SolverOptions& options, int64_t cols, const std::string& layer) {
  if (options.prunem == 0) return;
  const auto refuse = [&](const char* what, int64_t number, const std::string& where) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--pattern {}:{}: {} does not divide the {} {}{}", options.prunen,
                            options.prunem, options.prunem, number, what, where));
  };
  if (cols % options.prunem != 0) {
    refuse("columns", cols, fmt::format(" of '{}'; --exclude keeps that layer dense", layer));
  }
  if (options.blocksize % options.prunem != 0)
    refuse("columns of --blocksize", options.blocksize, "");
}

void check_guesses(const calibration::TokenSet& tokens, bool strict) {
  for (const report::Fallback& guess : report::guesses_of(tokens)) warn_or_refuse(guess, strict);
}

}  // namespace

void warn_or_refuse(const report::Fallback& fallback, bool strict, ErrorKind kind) {
  const std::string line = fmt::format("{}: {}", fallback.where, fallback.what);
  if (strict) throw Error(kind, line + "; refused by --strict");
  spdlog::warn("{}", line);
}

chat::TemplateChoice template_choice(const std::filesystem::path& folder,
                                     const tokenizer::Tokenizer& tokenizer,
                                     const std::string& name) {
  return {.folder = folder, .name = name, .special_tokens = tokenizer.special_tokens()};
}

models::Model open_model(const ModelChoice& choice, models::ModelOptions::Linears linears,
                         int64_t head_bits) {
  return models::Model::open(choice.folder, {.device = find_device(choice.device),
                                             .dtype = parse_dtype(choice.dtype),
                                             .linears = linears,
                                             .head_bits = head_bits});
}

at::ScalarType computing_dtype(const ModelChoice& choice, at::Device device,
                               at::ScalarType stored) {
  return parse_dtype(choice.dtype).value_or(models::default_dtype(device, stored));
}

int64_t choose_seqlen(const models::ModelConfig& config, int64_t asked) {
  const int64_t longest = config.max_positions;
  if (asked == 0) {
    return longest == 0 ? kLongestDefaultSeqlen : std::min(longest, kLongestDefaultSeqlen);
  }
  if (longest != 0 && asked > longest && !config.selects_beyond.empty()) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("--seqlen {} is longer than {} {} of config.json: attention would select "
                    "some of the keys, which is not supported",
                    asked, config.selects_beyond, longest));
  }
  if (longest != 0 && asked > longest) {
    throw Error(ErrorKind::kUsage,
                fmt::format("--seqlen {} is longer than the model's {} positions", asked, longest));
  }
  return asked;
}

calibration::TokenSet calibration_tokens(const models::Model& model,
                                         const tokenizer::Tokenizer& tokenizer,
                                         const PruneOptions& options) {
  calibration::TokenSet tokens = calibration::sample_calibration(
      options.calibration,
      template_choice(model.checkpoint().folder(), tokenizer, options.chat_template), tokenizer,
      {.nsamples = options.nsamples,
       .seqlen = choose_seqlen(model.config(), options.seqlen),
       .seed = options.seed,
       .add_bos = options.add_bos});
  check_guesses(tokens, options.strict);
  model.check_vocabulary(tokens.ids.max().item<int64_t>());
  return tokens;
}

calibration::TokenSet evaluation_tokens(const models::Model& model,
                                        const tokenizer::Tokenizer& tokenizer,
                                        const EvaluationChoice& choice, bool strict) {
  const calibration::TextSource text = calibration::load_text(
      choice.text.value(),
      template_choice(model.checkpoint().folder(), tokenizer, choice.chat_template));
  calibration::TokenSet tokens =
      calibration::evaluation_segments(text, tokenizer,
                                       {.seqlen = choose_seqlen(model.config(), choice.seqlen),
                                        .max_segments = choice.segments,
                                        .add_bos = choice.add_bos});
  check_guesses(tokens, strict);
  model.check_vocabulary(tokens.ids.max().item<int64_t>());
  return tokens;
}

int64_t samples_at_once(bool deterministic) { return deterministic ? 1 : 0; }

evaluation::PerplexityOptions perplexity_options(const EvaluationChoice& choice,
                                                 const std::filesystem::path& scratch,
                                                 bool deterministic) {
  if (choice.loss_dtype != "float32" && choice.loss_dtype != "model") {
    throw Error(ErrorKind::kUsage,
                fmt::format("loss dtype '{}' is not float32 or model", choice.loss_dtype));
  }
  return {.loss_in_model_dtype = choice.loss_dtype == "model",
          .scratch = scratch,
          .batch = samples_at_once(deterministic)};
}

evaluation::PerplexityResult shared_perplexity(const models::Model& model,
                                               const calibration::TokenSet& tokens,
                                               const evaluation::PerplexityOptions& options,
                                               dist::Communicator& comm, Progress& progress) {
  comm.enter("evaluate " + tokens.source);
  const dist::Range mine = dist::even_part(tokens.samples(), comm.size(), comm.rank());
  const Tensor losses = evaluation::segment_losses(model, tokens.ids.slice(0, mine.begin, mine.end),
                                                   tokens.source, options, progress);
  return evaluation::perplexity(comm.gather(losses), tokens, model.dtype());
}

std::set<std::string> chosen_layers(const models::ModelShape& model, const PruneOptions& options) {
  const Quantization& quantization = options.solver.quantization;
  const std::regex include = parse_regex("--include", options.include);
  const std::regex exclude = parse_regex("--exclude", options.exclude);
  std::set<std::string> chosen;
  for (int64_t block = 0; block < model.config.blocks; ++block) {
    for (const models::LinearSpec& spec : model.linears(block)) {
      const std::string name = model.block_prefix(block) + spec.name;
      const bool excluded = !options.exclude.empty() && std::regex_search(name, exclude);
      if (!std::regex_search(name, include) || excluded) continue;
      chosen.insert(name);
      check_pattern(options.solver, spec.cols, name);
      if (quantization.on() && spec.cols % quantization.columns_of_group(spec.cols) != 0) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("--group-size {} does not divide the {} columns of '{}'; -1 takes "
                                "whole rows",
                                quantization.group_size, spec.cols, name));
      }
    }
  }
  if (chosen.empty()) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("--include '{}' and --exclude '{}' leave no layer; layers are named like "
                    "'{}'",
                    options.include, options.exclude,
                    model.block_prefix(0) + model.linears(0).front().name));
  }
  return chosen;
}

void check_order(const models::ModelShape& model, const PruneOptions& options) {
  if (options.order != stream::Order::kBlock || !model.has_experts()) return;
  throw Error(ErrorKind::kUsage,
              fmt::format("--order block: model_type '{}' has experts, whose Hessians are made "
                          "one expert after the other; leave --order out",
                          model.config.model_type));
}

std::string obstacle_to_packing(const models::ModelShape& model,
                                const std::set<std::string>& chosen) {
  for (int64_t block = 0; block < model.config.blocks; ++block) {
    const std::string prefix = model.block_prefix(block);
    for (const models::LinearSpec& spec : model.linears(block)) {
      if (spec.weight_in(prefix).is_whole() || !chosen.contains(prefix + spec.name)) continue;
      return fmt::format(
          "model_type '{}' stores weights transposed or several in one tensor, which "
          "compressed-tensors cannot read",
          model.config.model_type);
    }
  }
  return "";
}

std::optional<report::Fallback> choose_format_(const models::ModelShape& model,
                                               const std::set<std::string>& chosen,
                                               PruneOptions& options) {
  if (!options.packed) return std::nullopt;
  const std::string obstacle = obstacle_to_packing(model, chosen);
  if (obstacle.empty()) return std::nullopt;
  if (options.must_pack) {
    throw Error(ErrorKind::kUsage, "--format packed: " + obstacle + "; leave --format out");
  }
  options.packed = false;
  return report::Fallback{.where = "--format",
                          .what = obstacle + ": the rounded weights are written dense"};
}

namespace {

std::set<std::string> layers_to_prune(const models::Model& model, const PruneOptions& options) {
  std::set<std::string> chosen = chosen_layers(model.shape(), options);
  // Where only units go, all layers stay as they are; where they are gone, all may learn.
  if (options.schedule != schedule::ScheduleKind::kKept || options.removes_units()) return chosen;
  const bool is_smaller =
      options.teacher &&
      models::read_model_shape(options.teacher->folder).parameters > model.shape().parameters;
  return is_smaller ? chosen : pruned_layers(model, chosen);
}

}  // namespace

journal::RunInputs with_units(journal::RunInputs inputs, const PruneOptions& options,
                              const models::KeptUnits& kept) {
  models::Model model = models::Model::open(
      options.model.folder,
      {.device = inputs.model.device(), .dtype = inputs.model.dtype(), .kept = kept});
  std::set<std::string> chosen = layers_to_prune(model, options);
  return {std::move(model), std::move(chosen), std::move(inputs.calibration),
          std::move(inputs.evaluation), kept};
}

journal::RunInputs open_inputs(const PruneOptions& options) {
  models::Model model = open_model(options.model);
  const auto tokenizer = tokenizer::load_tokenizer(options.model.folder);
  std::set<std::string> chosen = layers_to_prune(model, options);
  check_order(model.shape(), options);
  const bool scores = options.schedule == schedule::ScheduleKind::kAuto;
  if (scores || options.evaluation.text || options.recovery.steps > 0 || options.blocks > 0.0) {
    model.check_head();
  }
  calibration::TokenSet tokens = calibration_tokens(model, *tokenizer, options);
  std::optional<calibration::TokenSet> evaluation;
  if (options.evaluation.text) {
    evaluation = evaluation_tokens(model, *tokenizer, options.evaluation, options.strict);
  }
  return {std::move(model), std::move(chosen), std::move(tokens), std::move(evaluation)};
}

int64_t estimate_samples(const PruneOptions& options) {
  if (options.estimate_nsamples > 0) return options.estimate_nsamples;
  return std::min(options.nsamples,
                  std::max(kFewestForEstimates, options.nsamples / kShareForEstimates));
}

}  // namespace prune::pipeline
