#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/models/check_vocabulary.h>

namespace prune::models {

void check_vocabulary(const ModelConfig& config, int64_t largest_id) {
  if (largest_id < config.vocab_size) return;
  throw Error(
      ErrorKind::kInput,
      fmt::format("the tokenizer gives id {}, but the model's vocabulary has {} entries; do "
                  "they belong together?",
                  largest_id, config.vocab_size));
}

}  // namespace prune::models
