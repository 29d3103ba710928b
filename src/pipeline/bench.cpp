#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <prune/core/stopwatch.h>
#include <prune/generation/generator.h>
#include <prune/generation/sampler.h>
#include <prune/kernels/bandwidth.h>
#include <prune/pipeline/bench.h>

#include <limits>
#include <random>

#include "inputs.h"

namespace prune::pipeline {
namespace {

std::vector<int64_t> random_ids(int64_t count, int64_t vocab_size) {
  std::mt19937_64 random(0);
  std::uniform_int_distribution<int64_t> any(0, vocab_size - 1);
  std::vector<int64_t> ids(static_cast<size_t>(count));
  for (int64_t& id : ids) id = any(random);
  return ids;
}

}  // namespace

int64_t BenchResult::read_bytes() const {
  int64_t bytes = 0;
  for (const auto& [form, of_form] : weight_bytes) bytes += of_form;
  return bytes;
}

BenchResult bench(const BenchOptions& options) {
  const models::Model model =
      open_model(options.model, models::ModelOptions::Linears::kPacked, options.head_bits);
  model.check_head();
  const int64_t positions = model.config().max_positions;
  if (positions > 0 && options.prompt_tokens + options.max_tokens > positions) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: --prompt-tokens {} and --max-tokens {} exceed the model's {} "
                            "positions",
                            options.model.folder.string(), options.prompt_tokens,
                            options.max_tokens, positions));
  }
  BenchResult result{.dtype = std::string(dtype_name(model.dtype())),
                     .prompt_s = std::numeric_limits<double>::infinity(),
                     .decode_s = std::numeric_limits<double>::infinity(),
                     .read_bytes_per_s = kernels::read_bytes_per_s(model.device())};
  return_freed_memory();
  const int64_t before = resident_host_bytes() + allocated_bytes(model.device());
  const Stopwatch loading;
  generation::Generator generator(model);
  result.load_s = loading.elapsed_s();
  for (const generation::MatrixUse& matrix : generator.matrices()) {
    result.weight_bytes[matrix.form] += matrix.size_bytes;
    result.parameters += matrix.elements;
  }
  const std::vector<int64_t> prompt = random_ids(options.prompt_tokens, model.config().vocab_size);
  generation::Sampler choose({});
  for (int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    generator.restart();
    const Stopwatch reading;
    int64_t id = choose(generator.read(prompt));
    result.prompt_s = std::min(result.prompt_s, reading.elapsed_s());
    const Stopwatch writing;
    for (int64_t i = 1; i < options.max_tokens; ++i) id = choose(generator.read({id}));
    result.decode_s = std::min(result.decode_s, writing.elapsed_s());
  }
  return_freed_memory();
  result.memory_bytes = resident_host_bytes() + allocated_bytes(model.device()) - before;
  return result;
}

}  // namespace prune::pipeline
