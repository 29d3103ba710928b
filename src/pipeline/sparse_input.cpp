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

void check_teacher(const models::Model& teacher, const models::Model& student) {
  teacher.check_head();
  student.check_head();
  const int64_t wanted = student.config().vocab_size;
  if (teacher.config().vocab_size == wanted) return;
  throw Error(ErrorKind::kInput,
              fmt::format("{}: vocab_size is {}, but {} of {}, which it shall teach",
                          teacher.checkpoint().folder().string(), teacher.config().vocab_size,
                          wanted, student.checkpoint().folder().string()));
}

}  // namespace prune::pipeline
