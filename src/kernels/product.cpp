#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <prune/core/device.h>
#include <prune/kernels/instruction_set.h>
#include <prune/kernels/product.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

// MKL is a part of LibTorch's library, but not its headers. The symbol is null in a LibTorch without MKL.
extern "C" __attribute__((weak)) void cblas_gemm_bf16bf16f32(int layout, int transpose_a,
                                                             int transpose_b, int m, int n, int k,
                                                             float alpha, const at::BFloat16* a,
                                                             int stride_a, const at::BFloat16* b,
                                                             int stride_b, float beta, float* c,
                                                             int stride_c);

namespace prune::kernels {
namespace {

// CBLAS's numbers
constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
constexpr int kTranspose = 112;

// LibTorch exposes oneDNN's float32 product only as an operator for its compiler.
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
  static const auto kFound = find_onednn();
  return kFound;
}

Tensor onednn_affine(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  // oneDNN takes thousands of times longer on a slice of a transposed matrix.
  return onednn()->call(x.contiguous(), weight.contiguous(),
                        bias.defined() ? std::optional<Tensor>(bias) : std::nullopt, "none",
                        c10::List<std::optional<at::Scalar>>(), "");
}

// The operator has no derivative of its own.
struct OnednnAffine : torch::autograd::Function<OnednnAffine> {
  // An undefined tensor is not accepted as an operand, an empty optional is.
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const Tensor& weight, const std::optional<Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return onednn_affine(x, weight, bias.value_or(Tensor()));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& weight = saved[1];
    const Tensor by_row = gradients[0].flatten(0, -2);
    const Tensor x = saved[0].flatten(0, -2);
    torch::autograd::variable_list result(3);
    if (context->needs_input_grad(0)) {
      result[0] = onednn_affine(gradients[0], weight.t(), {});
    }
    if (context->needs_input_grad(1)) {
      result[1] = onednn_affine(by_row.t(), x.t(), {});
    }
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) {
      result[2] = by_row.sum(0);
    }
    return result;
  }
};

bool needs_gradient(const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }

}  // namespace

bool multiplies_by_onednn(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && onednn().has_value();
}

const char* product_library() { return onednn() ? "oneDNN" : "BLAS"; }

Tensor affine(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!multiplies_by_onednn(x)) return at::linear(x, weight, bias);
  if (at::GradMode::is_enabled() &&
      (needs_gradient(x) || needs_gradient(weight) || needs_gradient(bias))) {
    return OnednnAffine::apply(x, weight,
                               bias.defined() ? std::optional<Tensor>(bias) : std::nullopt);
  }
  return onednn_affine(x, weight, bias);
}

bool accumulates_16_bits(const Tensor& x) {
  if (x.is_cuda()) return x.element_size() == 2;
  return x.scalar_type() == at::kBFloat16 && multiplies_bfloat16() &&
         cblas_gemm_bf16bf16f32 != nullptr;
}

void add_product_(Tensor& sum, const Tensor& left, const Tensor& right) {
  if (!accumulates_16_bits(left)) {
    sum.addmm_(left.t(), right);
  } else if (left.is_cuda()) {
    at::addmm_out(sum, sum, left.t(), right, /*out_dtype=*/at::kFloat);
  } else {
    const auto number = [](int64_t x) { return c10::checked_convert<int>(x, "int"); };
    cblas_gemm_bf16bf16f32(kRowMajor, kTranspose, kNoTranspose, number(sum.size(0)),
                           number(sum.size(1)), number(left.size(0)), 1.0F,
                           left.const_data_ptr<at::BFloat16>(), number(left.stride(0)),
                           right.const_data_ptr<at::BFloat16>(), number(right.stride(0)), 1.0F,
                           sum.mutable_data_ptr<float>(), number(sum.stride(0)));
  }
}

std::string device_description(at::Device device) {
  if (device.is_cuda()) return fmt::format("cuda:{} ({})", device.index(), device_name(device));
  return fmt::format("cpu ({} threads, {}, {})", at::get_num_threads(), at::get_cpu_capability(),
                     product_library());
}

}  // namespace prune::kernels
