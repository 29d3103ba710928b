// Times the products of one token, or a few, with dense and packed matrices larger than the caches, in turns.
//
//   bench_decode ROWS COLS TOKENS ROUNDS [SPARSITY ...]
//
// Each form fills 200 MB with copies of a random matrix, and a round passes over all of them. Prints for each form and
// sparsity the bits per weight, the medians of weights and bytes per second, the share of the speed at which the same
// round read memory, and the times faster than the faster of LibTorch's and our dense bfloat16 and than our dense int4.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <prune/kernels/bandwidth.h>
#include <prune/kernels/packed_matrix.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <vector>

#include "seconds_of_call.h"

namespace {

using at::Tensor;
using prune::kernels::PackedMatrix;

constexpr int64_t kBytes = 200'000'000;

struct Form {
  std::string name;
  int64_t bytes = 0;  // of one matrix
  std::vector<std::function<void()>> products;
  std::vector<double> seconds = {};  // of one product, by round
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

Tensor keep(int64_t rows, int64_t cols, double sparsity) {
  return at::rand({rows, cols}).ge(sparsity);
}

PackedMatrix packed_16(int64_t rows, int64_t cols, double sparsity) {
  const Tensor weight = at::randn({rows, cols}).mul_(keep(rows, cols, sparsity));
  return PackedMatrix::pack(weight.to(at::kBFloat16));
}

PackedMatrix packed_4(int64_t rows, int64_t cols, double sparsity) {
  const int64_t groups = cols % 128 == 0 ? cols / 128 : 1;
  // Without pruned ones no code is 0, so that none is left out.
  Tensor codes = at::randint(1, 8, {rows, cols}, at::kChar).mul_(keep(rows, cols, sparsity));
  return PackedMatrix::pack({.codes = codes,
                             .scale = at::rand({rows, groups}).to(at::kBFloat16),
                             .zero = at::zeros({rows, groups}, at::kChar)})
      .value();
}

Form packed_form(std::string name, const Tensor& x, const std::function<PackedMatrix()>& make) {
  Form form{.name = std::move(name)};
  for (int64_t total = 0; total < kBytes; total += form.bytes) {
    auto matrix = std::make_shared<PackedMatrix>(make());
    form.bytes = matrix->size_bytes();
    form.products.emplace_back([matrix, x] { matrix->affine(x); });
  }
  return form;
}

Form libtorch_form(int64_t rows, int64_t cols, const Tensor& x) {
  Form form{.name = "LibTorch bfloat16", .bytes = 2 * rows * cols};
  const Tensor narrow = x.to(at::kBFloat16);
  for (int64_t total = 0; total < kBytes; total += form.bytes) {
    const Tensor weight = at::randn({rows, cols}).to(at::kBFloat16);
    form.products.emplace_back([weight, narrow] { at::linear(narrow, weight); });
  }
  return form;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  std::vector<double> sparsities;
  for (int i = 5; i < argc; ++i) sparsities.push_back(std::stod(argv[i]));
  if (sparsities.empty()) sparsities = {0.5, 0.6, 0.7, 0.8};
  const at::InferenceMode guard;
  const int64_t rows = std::stoll(argv[1]);
  const int64_t cols = std::stoll(argv[2]);
  const int64_t rounds = std::stoll(argv[4]);
  const Tensor x = at::randn({std::stoll(argv[3]), cols});
  std::vector<Form> forms = {libtorch_form(rows, cols, x),
                             packed_form("16 bits", x, [&] { return packed_16(rows, cols, 0.0); }),
                             packed_form("4 bits", x, [&] { return packed_4(rows, cols, 0.0); })};
  for (const double sparsity : sparsities) {
    forms.push_back(packed_form(fmt::format("mask + 16 bits, {:.0f} %", 100 * sparsity), x,
                                [&] { return packed_16(rows, cols, sparsity); }));
    forms.push_back(packed_form(fmt::format("mask + 4 bits, {:.0f} %", 100 * sparsity), x,
                                [&] { return packed_4(rows, cols, sparsity); }));
  }
  std::vector<double> read;
  for (int64_t round = 0; round < rounds; ++round) {
    read.push_back(prune::kernels::read_bytes_per_s(at::kCPU));
    for (Form& form : forms) {
      const double seconds = seconds_of_call(at::kCPU, [&] {
        for (const auto& product : form.products) product();
      });
      form.seconds.push_back(seconds / static_cast<double>(form.products.size()));
    }
  }
  const double dense = std::min(median(forms[0].seconds), median(forms[1].seconds));
  const double codes = median(forms[2].seconds);
  const auto weights = static_cast<double>(rows * cols);
  std::cout << fmt::format("{} x {}, {} tokens, reads {:.1f} GB/s\n", rows, cols, x.size(0),
                           median(read) / 1e9);
  for (const Form& form : forms) {
    const double seconds = median(form.seconds);
    const auto bytes = static_cast<double>(form.bytes);
    std::cout << fmt::format(
        "  {:<22} {:5.2f} bits {:6.1f} Gw/s {:5.1f} GB/s {:4.0f} % {:5.2f} x bf16 {:5.2f} x int4\n",
        form.name, 8 * bytes / weights, weights / seconds / 1e9, bytes / seconds / 1e9,
        100 * bytes / seconds / median(read), dense / seconds, codes / seconds);
  }
  return 0;
}
