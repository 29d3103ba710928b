#include "activation.h"

#include <prune/core/error.h>

#include <map>

namespace prune::models {
namespace {

Tensor relu(const Tensor& x) { return at::relu(x); }
Tensor gelu(const Tensor& x) { return at::gelu(x); }
Tensor gelu_tanh(const Tensor& x) { return at::gelu(x, "tanh"); }
Tensor silu(const Tensor& x) { return at::silu(x); }

}  // namespace

Activation find_activation(const std::string& name) {
  static const std::map<std::string, Activation> kActivations = {
      {"relu", relu}, {"gelu", gelu}, {"gelu_new", gelu_tanh}, {"gelu_pytorch_tanh", gelu_tanh},
      {"silu", silu}, {"swish", silu}};
  const auto found = kActivations.find(name);
  if (found == kActivations.end()) {
    std::string known;
    for (const auto& [known_name, function] : kActivations) known += " " + known_name;
    throw Error(
        ErrorKind::kInput,
        fmt::format("activation function '{}' is not supported; known ones:{}", name, known));
  }
  return found->second;
}

}  // namespace prune::models
