// Runs our factorisation or column solver once per line on stdin and prints the seconds, so that
// scripts/bench/solver can alternate it with the reference.
//
//   bench_solver ROWS COLS SPARSITY WEIGHT HESSIAN RESULT DEVICE     raw float32 files
//   stdin: "factor" or "solve" per line; stdout: seconds per line, peak bytes at the end

#include <ATen/Parallel.h>
#include <prune/core/device.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/hessian/factorize.h>
#include <prune/solver/prune_columns.h>

#include <fstream>
#include <iostream>

#include "seconds_of_call.h"

namespace {

at::Tensor read_matrix(const char* path, int64_t rows, int64_t cols) {
  const std::string bytes = prune::read_file(path, int64_t{1} << 40);
  at::Tensor matrix = at::empty({rows, cols}, at::kFloat);
  TORCH_CHECK(static_cast<int64_t>(bytes.size()) == matrix.numel() * 4, "wrong size: ", path);
  std::memcpy(matrix.mutable_data_ptr(), bytes.data(), bytes.size());
  return matrix;
}

template <class Action>
void timed(at::Device device, Action&& action) {
  std::cout << seconds_of_call(device, std::forward<Action>(action)) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  at::set_num_threads(1);
  const at::Device device = prune::find_device(argv[7]);
  const int64_t rows = std::stoll(argv[1]);
  const int64_t cols = std::stoll(argv[2]);
  const double sparsity = std::stod(argv[3]);
  const at::Tensor dense = read_matrix(argv[4], rows, cols).to(device);
  const at::Tensor hessian = read_matrix(argv[5], cols, cols).to(device);
  at::Tensor scratch = hessian.clone();
  prune::hessian::HessianFactor factor = prune::hessian::factorize_(scratch, 0.01);
  at::Tensor weight;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "factor") {
      scratch.copy_(hessian);
      timed(device, [&] { factor = prune::hessian::factorize_(scratch, 0.01); });
    } else {
      weight = dense.clone();
      timed(device, [&] { prune::solver::prune_columns_(weight, factor, {.sparsity = sparsity}); });
    }
  }
  if (weight.defined()) {
    weight = weight.cpu();
    std::ofstream(argv[6], std::ios::binary)
        .write(static_cast<const char*>(weight.const_data_ptr()), weight.numel() * 4);
  }
  std::cout << prune::peak_host_bytes() << std::endl;
  return 0;
}
