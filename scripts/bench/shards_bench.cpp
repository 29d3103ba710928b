// Times two ways in which ranks can solve the readers of a site once its owner has the factor:
//
//   owner   the owner solves all rows and sends the weights to all ranks
//   shards  the owner sends the factor to all ranks, each rank solves its share of the rows, and the
//           ranks exchange their rows. All rows of a block share one threshold, which takes three
//           all-reduces of 2048 counts
//
//   torchrun --no-python --nproc-per-node N bench_shards ROWSxCOLS ...      rank 0 prints Markdown rows
//
// The histograms are sent, but each rank uses the threshold of its own rows: the times are those of
// a real run, the masks are not. Results: scripts/bench/RESULTS.md, "Several ranks".

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <prune/dist/communicator.h>
#include <prune/dist/sample_split.h>
#include <prune/hessian/factorize.h>
#include <prune/solver/prune_columns.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "seconds_of_call.h"

namespace {

using at::Tensor;
using prune::dist::Communicator;
using prune::dist::Traffic;

constexpr int kRuns = 5;
constexpr int64_t kBlocksize = 128;
constexpr int64_t kHistogram = 2048;
constexpr int kRounds = 3;
constexpr int64_t kPanel = 512;
const prune::solver::SolverOptions kOptions{.sparsity = 0.7, .blocksize = kBlocksize};

// Sends the upper triangle, panel by panel.
void broadcast_factor_(Tensor& v, Communicator& comm) {
  for (int64_t begin = 0; begin < v.size(1); begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, v.size(1));
    const Tensor place = v.slice(0, 0, end).slice(1, begin, end);
    Tensor panel = place.contiguous();
    comm.broadcast_(panel, 0, Traffic::kOther);
    if (comm.rank() != 0) place.copy_(panel);
  }
}

void add_up_(Tensor& counts, Communicator& comm) {
  if (comm.rank() == 0) {
    Tensor other = at::empty_like(counts);
    for (int64_t from = 1; from < comm.size(); ++from) {
      comm.recv_(other, from);
      counts.add_(other);
    }
  } else {
    comm.send(counts, 0, Traffic::kOther);
  }
  comm.broadcast_(counts, 0, Traffic::kOther);
}

template <class Work>
double median_seconds(Communicator& comm, const Work& work) {
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) {
    comm.barrier();
    seconds.push_back(seconds_of_call(at::kCPU, [&] {
      work();
      comm.barrier();
    }));
  }
  std::ranges::nth_element(seconds, seconds.begin() + kRuns / 2);
  return seconds[kRuns / 2];
}

void compare(int64_t rows, int64_t cols, Communicator& comm) {
  at::manual_seed(0);
  const Tensor x = at::randn({2 * cols, cols});
  Tensor hessian = at::mm(x.t(), x).div_(static_cast<double>(cols));
  prune::hessian::HessianFactor factor;
  const double factor_s = median_seconds(comm, [&] {
    Tensor copy = hessian.clone();
    if (comm.rank() == 0 || !factor.v.defined()) {
      factor = prune::hessian::factorize_(copy, /*percdamp=*/0.01);
    }
  });
  const Tensor dense = at::randn({rows, cols});

  const double owner_s = median_seconds(comm, [&] {
    Tensor stored = at::empty({rows, cols}, at::kHalf);
    if (comm.rank() == 0) {
      Tensor weight = dense.clone();
      prune::solver::prune_columns_(weight, factor, kOptions);
      stored.copy_(weight);
    }
    comm.broadcast_(stored, 0, Traffic::kWeights);
  });

  double sent_s = 0.0;
  double exchange_s = 0.0;
  const prune::dist::Range mine = prune::dist::even_part(rows, comm.size(), comm.rank());
  const double shards_s = median_seconds(comm, [&] {
    sent_s = seconds_of_call(at::kCPU, [&] { broadcast_factor_(factor.v, comm); });
    Tensor weight = dense.slice(0, mine.begin, mine.end).clone();
    prune::solver::prune_columns_(weight, factor, kOptions);
    exchange_s = seconds_of_call(at::kCPU, [&] {
      Tensor counts = at::zeros({kHistogram}, at::kLong);
      for (int64_t block = 0; block < cols; block += kBlocksize) {
        for (int round = 0; round < kRounds; ++round) add_up_(counts, comm);
      }
    });
    comm.gather(weight.to(at::kHalf));
  });
  if (comm.rank() == 0) {
    fmt::print("| {} x {} | {} | {:.1f} | {:.1f} | {:.1f} ({:.1f}, {:.1f}) |\n", rows, cols,
               comm.size(), 1e3 * factor_s, 1e3 * owner_s, 1e3 * shards_s, 1e3 * sent_s,
               1e3 * exchange_s);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  Communicator comm =
      prune::dist::connect(prune::dist::read_environment(), std::chrono::seconds(300));
  if (comm.rank() == 0) {
    std::cout << "| rows x cols | ranks | factor, ms | owner, ms | shards, ms (factor sent, "
                 "histograms) |\n"
                 "|---|---|---|---|---|\n";
  }
  for (int i = 1; i < argc; ++i) {
    long rows = 0;
    long cols = 0;
    if (std::sscanf(argv[i], "%ldx%ld", &rows, &cols) != 2) return 2;
    compare(rows, cols, comm);
  }
  comm.finish();
  return 0;
}
