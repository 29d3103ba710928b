#include "scan.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

namespace prune::models {

Tensor causal_convolution(const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Tensor& before) {
  const int64_t more = weight.size(2) - 1;
  const Tensor padded =
      before.defined() ? at::cat({before, x}, 1) : at::constant_pad_nd(x, {0, 0, more, 0});
  before = padded.narrow(1, padded.size(1) - more, more);
  return at::conv1d(padded.transpose(1, 2), weight, bias, /*stride=*/1,
                    /*padding=*/at::IntArrayRef(0), /*dilation=*/1, /*groups=*/weight.size(0))
      .transpose(1, 2);
}

Tensor gated_scan(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& decay,
                  const Tensor& beta, Tensor& state) {
  const bool by_row = decay.dim() == 4;
  // As in Transformers; by row a chunk holds key_dim times as many factors.
  const int64_t at_once = by_row ? 16 : 64;
  const Tensor decays = by_row ? decay : decay.unsqueeze(3);
  if (!state.defined()) {
    state = at::zeros({key.size(0), key.size(1), key.size(3), value.size(3)}, key.options());
  }
  std::vector<Tensor> outputs;
  for (int64_t first = 0; first < key.size(2); first += at_once) {
    const int64_t count = std::min(at_once, key.size(2) - first);
    const auto part = [&](const Tensor& x) { return x.narrow(2, first, count); };
    const Tensor q = part(query);
    const Tensor k = part(key);
    const Tensor sum = part(decays).cumsum(2);
    const Tensor future = at::ones({count, count}, k.options().dtype(at::kBool)).triu(1);
    // What is left at token i of what token j wrote, [.., i, j, 1 or key_dim].
    const Tensor left =
        (sum.unsqueeze(3) - sum.unsqueeze(2))
            .masked_fill(future.unsqueeze(2), -std::numeric_limits<double>::infinity())
            .exp();
    // Σ_c a_ic k_jc left_ijc
    const auto products = [&](const Tensor& a) {
      return by_row ? (a.unsqueeze(3) * k.unsqueeze(2) * left).sum(4)
                    : at::matmul(a, k.transpose(2, 3)) * left.squeeze(4);
    };
    const Tensor from_start = sum.exp();
    Tensor update = part(value);
    if (beta.defined()) {
      // The updates of a chunk depend on those before them: a triangular system.
      const Tensor rate = part(beta).unsqueeze(3);
      const Tensor scaled = k * rate;
      const Tensor system = products(scaled);
      const auto solve = [&](const Tensor& x) {
        return at::linalg_solve_triangular(system, x, /*upper=*/false, /*left=*/true,
                                           /*unitriangular=*/true);
      };
      update = solve(update * rate) - at::matmul(solve(scaled * from_start), state);
    }
    outputs.push_back(at::matmul(q * from_start, state) + at::matmul(products(q), update));
    const Tensor last = sum.narrow(2, count - 1, 1);
    state = state * last.exp().transpose(2, 3) +
            at::matmul((k * (last - sum).exp()).transpose(2, 3), update);
  }
  return at::cat(outputs, 2);
}

}  // namespace prune::models
