#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <prune/core/product.h>

#include <optional>

namespace prune {
namespace {

// LibTorch has oneDNN's product of float32 matrices only as an operator of its compiler.
using PointwiseLinear = Tensor(const Tensor& x, const Tensor& weight,
                               const std::optional<Tensor>& bias, c10::string_view activation,
                               c10::List<std::optional<at::Scalar>> scalars,
                               std::optional<c10::string_view> algorithm);

std::optional<c10::TypedOperatorHandle<PointwiseLinear>> find_onednn() {
  if (!at::hasMKLDNN() || !at::hasMKL() || at::get_cpu_capability() != "AVX512" ||
      __builtin_cpu_is("intel")) {
    return std::nullopt;
  }
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<PointwiseLinear>();
}

const auto& onednn() {
  static const auto found = find_onednn();
  return found;
}

}  // namespace

bool multiplies_by_onednn(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && onednn().has_value();
}

const char* product_library() { return onednn() ? "oneDNN" : "BLAS"; }

Tensor affine(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!multiplies_by_onednn(x)) return at::linear(x, weight, bias);
  // Slices of transposed matrices would meet a product that is thousands of times slower.
  return onednn()->call(x.contiguous(), weight.contiguous(),
                        bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, "none",
                        c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace prune
