// Times the products of one token, or a few, with dense and packed matrices larger than the caches, in turns.
//
//   bench_decode DEVICE ROWS COLS TOKENS ROUNDS [SPARSITY ...]
//
// Each form fills 200 MB (on a GPU 2 GB) with copies of a random matrix, and a round passes over all of them, on a GPU as
// a CUDA graph. Prints for each form and sparsity the bits per weight, the medians of weights and bytes per second, the
// share of the speed at which the same round read memory, and the times faster than the fastest dense bfloat16 and than
// our dense int4. "12:16" keeps 4 of each 16 columns.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <prune/kernels/bandwidth.h>
#include <prune/kernels/packed_weight.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <vector>

#include "seconds_of_call.h"

#ifdef PRUNE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace {

using at::Tensor;
using prune::kernels::pack_weight;
using prune::kernels::PackedWeight;

using Products = std::vector<std::function<void()>>;

struct Form {
  std::string name;
  int64_t bytes = 0;  // of one matrix
  Products products = {};
  std::vector<double> seconds = {};  // of one product, by round
  std::function<void()> pass = {};
};

int64_t bytes_of_pass(at::Device device) { return device.is_cuda() ? 2'000'000'000 : 200'000'000; }

#ifdef PRUNE_CUDA
// Launching a kernel takes as long as running one of a few microseconds.
std::function<void()> recorded(const Products& products) {
  const c10::cuda::CUDAStreamGuard guard(c10::cuda::getStreamFromPool());
  for (const auto& product : products) product();
  c10::cuda::getCurrentCUDAStream().synchronize();
  auto graph = std::make_shared<at::cuda::CUDAGraph>();
  graph->capture_begin();
  for (const auto& product : products) product();
  graph->capture_end();
  return [graph] { graph->replay(); };
}
#endif

std::function<void()> pass_over(const Products& products, at::Device device) {
#ifdef PRUNE_CUDA
  if (device.is_cuda()) return recorded(products);
#else
  static_cast<void>(device);
#endif
  return [products] {
    for (const auto& product : products) product();
  };
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

using Packed = std::shared_ptr<const PackedWeight>;

// Null on a GPU without pruned elements.
Packed packed_16(int64_t rows, int64_t cols, const Tensor& keep, at::Device device) {
  return pack_weight(at::randn({rows, cols}).mul_(keep).to(at::kBFloat16), device);
}

Packed packed_4(int64_t rows, int64_t cols, const Tensor& keep, at::Device device) {
  const int64_t groups = cols % 128 == 0 ? cols / 128 : 1;
  // Without pruned ones no code is 0, so that none is left out.
  Tensor codes = at::randint(1, 8, {rows, cols}, at::kChar).mul_(keep);
  return pack_weight(prune::QuantizedWeight{.codes = codes,
                                            .scale = at::rand({rows, groups}).to(at::kBFloat16),
                                            .zero = at::zeros({rows, groups}, at::kChar)},
                     device);
}

Form packed_form(std::string name, const Tensor& x, const std::function<Packed()>& make) {
  Form form{.name = std::move(name)};
  for (int64_t total = 0; total < bytes_of_pass(x.device()); total += form.bytes) {
    const Packed matrix = make();
    form.bytes = matrix->size_bytes();
    form.products.emplace_back([matrix, x] { matrix->affine(x); });
  }
  return form;
}

Form libtorch_form(int64_t rows, int64_t cols, const Tensor& x) {
  Form form{.name = "LibTorch bfloat16", .bytes = 2 * rows * cols};
  const Tensor narrow = x.to(at::kBFloat16);
  for (int64_t total = 0; total < bytes_of_pass(x.device()); total += form.bytes) {
    const Tensor weight = at::randn({rows, cols}).to(at::kBFloat16).to(x.device());
    form.products.emplace_back([weight, narrow] { at::linear(narrow, weight); });
  }
  return form;
}

// Four of each 16 columns.
Tensor keep_balanced(int64_t rows, int64_t cols) {
  const Tensor order = at::argsort(at::rand({rows, cols / 16, 16}), int64_t{-1});
  const Tensor rank = at::argsort(order, int64_t{-1});
  return rank.lt(4).view({rows, cols});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  std::vector<double> sparsities;
  for (int i = 6; i < argc; ++i) sparsities.push_back(std::stod(argv[i]));
  if (sparsities.empty()) sparsities = {0.5, 0.6, 0.7, 0.8};
  const at::InferenceMode guard;
  const at::Device device(argv[1]);
  const int64_t rows = std::stoll(argv[2]);
  const int64_t cols = std::stoll(argv[3]);
  const int64_t rounds = std::stoll(argv[5]);
  // As prune generate computes: packed weights meet float32 on a CPU, numbers of 16 bits on a GPU.
  const Tensor x = at::randn({std::stoll(argv[4]), cols})
                       .to(device, device.is_cuda() ? at::kBFloat16 : at::kFloat);
  const Tensor all = at::ones({rows, cols}, at::kBool);
  std::vector<Form> forms = {libtorch_form(rows, cols, x)};
  if (device.is_cpu()) {
    forms.push_back(packed_form("16 bits", x, [&] { return packed_16(rows, cols, all, device); }));
  }
  const size_t dense_codes = forms.size();
  forms.push_back(packed_form("4 bits", x, [&] { return packed_4(rows, cols, all, device); }));
  for (const double sparsity : sparsities) {
    const Tensor keep = at::rand({rows, cols}).ge(sparsity);
    forms.push_back(packed_form(fmt::format("mask + 16 bits, {:.0f} %", 100 * sparsity), x,
                                [&] { return packed_16(rows, cols, keep, device); }));
    forms.push_back(packed_form(fmt::format("mask + 4 bits, {:.0f} %", 100 * sparsity), x,
                                [&] { return packed_4(rows, cols, keep, device); }));
  }
  if (cols % 16 == 0) {
    const Tensor keep = keep_balanced(rows, cols);
    forms.push_back(
        packed_form("mask + 4 bits, 12:16", x, [&] { return packed_4(rows, cols, keep, device); }));
  }
  for (Form& form : forms) form.pass = pass_over(form.products, device);
  std::vector<double> read;
  for (int64_t round = 0; round < rounds; ++round) {
    read.push_back(prune::kernels::read_bytes_per_s(device));
    for (Form& form : forms) {
      form.seconds.push_back(seconds_of_call(device, form.pass) /
                             static_cast<double>(form.products.size()));
    }
  }
  double dense = median(forms[0].seconds);
  if (dense_codes > 1) dense = std::min(dense, median(forms[1].seconds));
  const double codes = median(forms[dense_codes].seconds);
  const auto weights = static_cast<double>(rows * cols);
  std::cout << fmt::format("{} x {}, {} tokens, reads {:.1f} GB/s\n", rows, cols, x.size(0),
                           median(read) / 1e9);
  for (const Form& form : forms) {
    const double seconds = median(form.seconds);
    const auto bytes = static_cast<double>(form.bytes);
    std::cout << fmt::format(
        "  {:<22} {:5.2f} bits {:6.1f} Gw/s {:6.1f} GB/s {:4.0f} % {:5.2f} x bf16 {:5.2f} x int4\n",
        form.name, 8 * bytes / weights, weights / seconds / 1e9, bytes / seconds / 1e9,
        100 * bytes / seconds / median(read), dense / seconds, codes / seconds);
  }
  return 0;
}
