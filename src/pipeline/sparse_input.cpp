#include "sparse_input.h"

#include <prune/core/error.h>

namespace prune::pipeline {
namespace {

constexpr double kFewestZeros = 0.05;

}  // namespace

int64_t zeros_of(const models::Model& model, const std::string& layer) {
  const Tensor weight = model.stored_weight(layer);
  const int64_t zeros = weight.numel() - weight.count_nonzero().item<int64_t>();
  model.checkpoint().drop(model.stored(layer).name);
  return zeros;
}

std::set<std::string> pruned_layers(const models::Model& model,
                                    const std::set<std::string>& layers) {
  std::set<std::string> pruned;
  for (const std::string& layer : layers) {
    const auto weights = static_cast<double>(model.stored_weight(layer).numel());
    const auto zeros = static_cast<double>(zeros_of(model, layer));
    if (zeros >= kFewestZeros * weights) pruned.insert(layer);
  }
  if (pruned.empty()) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: no layer is pruned: each has less than {:g} % zeros",
                            model.checkpoint().folder().string(), 100 * kFewestZeros));
  }
  return pruned;
}

void check_teacher(const models::Model& teacher, const models::Model& student, bool by_block) {
  teacher.check_head();
  student.check_head();
  const auto check = [&](const char* what, int64_t has, int64_t wanted) {
    if (has == wanted) return;
    throw Error(ErrorKind::kInput, fmt::format("{}: {} is {}, but {} in {}, which it shall teach",
                                               teacher.checkpoint().folder().string(), what, has,
                                               wanted, student.checkpoint().folder().string()));
  };
  check("vocab_size", teacher.config().vocab_size, student.config().vocab_size);
  if (!by_block) return;
  check("the number of blocks", teacher.config().blocks, student.config().blocks);
  check("hidden_size", teacher.config().hidden_size, student.config().hidden_size);
}

}  // namespace prune::pipeline
