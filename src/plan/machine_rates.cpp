#include <ATen/Context.h>
#include <fcntl.h>
#include <prune/core/sha256.h>
#include <prune/hessian/accumulator.h>
#include <prune/hessian/factorize.h>
#include <prune/kernels/product.h>
#include <prune/loss/estimate.h>
#include <prune/plan/machine_rates.h>
#include <prune/solver/prune_columns.h>
#include <prune/stream/hidden_states.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace prune::plan {
namespace {

using models::LinearSpec;

// A probe that is much shorter than this says little on a machine that does something else, too.
constexpr double kProbe_s = 0.1;
// Largest side of a probe's matrices and most work in it: a GPU needs more of both to be busy.
constexpr int64_t kLargestSideCpu = 2048;
constexpr int64_t kLargestSideCuda = 8192;
constexpr int64_t kLargestEigen = 1024;
constexpr double kMostFlopsCpu = 4e9;
constexpr double kMostFlopsCuda = 4e11;
constexpr size_t kDiskBytes = size_t{32} << 20;
constexpr int kSyncs = 5;
constexpr size_t kHashedBytes = size_t{8} << 20;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of several rates for parts of a whole: the one for the whole.
class MeanRate {
 public:
  void add(double work, double per_s) {
    work_ += work;
    elapsed_s_ += work / per_s;
  }
  double per_s() const { return elapsed_s_ > 0.0 ? work_ / elapsed_s_ : 0.0; }

 private:
  double work_ = 0.0;
  double elapsed_s_ = 0.0;
};

class Probes {
 public:
  Probes(const RunShape& run, at::Device device)
      : run_(&run),
        device_(device),
        side_(device.is_cuda() ? kLargestSideCuda : kLargestSideCpu),
        most_flops_(device.is_cuda() ? kMostFlopsCuda : kMostFlopsCpu),
        batch_tokens_(stream::batch_samples(run.seqlen, device.is_cuda()) * run.seqlen) {}

  double linear() const {
    return rate_over(
        run_->model.linears,
        [&](const LinearSpec& layer) {
          return Shape{std::min(layer.rows, side_), std::min(layer.cols, side_)};
        },
        [](int64_t rows, int64_t cols) { return linear_flops(rows, cols, 1); },
        [&](int64_t rows, int64_t cols) {
          const double flops_per_token = linear_flops(rows, cols, 1);
          const int64_t tokens = tokens_within(flops_per_token);
          const Tensor weight = random({rows, cols}, run_->dtype);
          const Tensor x = random({tokens, cols}, run_->dtype);
          return flops_per_token * static_cast<double>(tokens) /
                 seconds_of([&] { kernels::affine(x, weight); });
        });
  }

  double attention() const {
    const models::ForwardCost cost =
        run_->model.family->forward_cost(run_->model.config, run_->seqlen);
    if (cost.attention_flops == 0.0) return 0.0;
    const auto seqlen = static_cast<double>(run_->seqlen);
    const double flops_per_head = 2 * seqlen * seqlen * static_cast<double>(cost.head_dim);
    const int64_t heads =
        std::clamp<int64_t>(static_cast<int64_t>(most_flops_ / 4 / flops_per_head), 1, 32);
    const Tensor x = random({1, heads, run_->seqlen, cost.head_dim}, run_->dtype);
    const double call_s =
        seconds_of([&] { at::scaled_dot_product_attention(x, x, x, {}, 0.0, /*is_causal=*/true); });
    return flops_per_head * static_cast<double>(heads) / call_s;
  }

  // Hessians, factors, solver, estimates: what happens once for each input, and for each layer that reads it.
  void statistics(Rates& rates) const {
    std::map<int64_t, int64_t> inputs;
    for (const LinearSpec& layer : run_->chosen.front()) inputs[layer.site] = layer.cols;
    std::map<int64_t, InputRates> measured;
    MeanRate hessian_rate;
    MeanRate factor_rate;
    MeanRate solver_rate;
    MeanRate estimate_rate;
    for (const auto& [input, cols] : inputs) {
      const auto [found, added] = measured.try_emplace(std::min(cols, side_));
      if (added) found->second = measure_input(found->first);
      hessian_rate.add(hessian_flops(cols, 1, device_.is_cuda()), found->second.hessian_flops);
      factor_rate.add(factor_flops(cols), found->second.factor_flops);
    }
    std::map<Shape, LayerRates> layers;
    for (const LinearSpec& layer : run_->chosen.front()) {
      const int64_t cols = std::min(layer.cols, side_);
      const int64_t rows = rows_within(layer, cols);
      const auto [found, added] = layers.try_emplace({rows, cols});
      if (added) found->second = measure_layer(rows, measured.at(cols).factor);
      solver_rate.add(solver_flops(layer.rows, layer.cols), found->second.solver_flops);
      estimate_rate.add(static_cast<double>(layer.rows * layer.cols),
                        found->second.estimated_weights);
    }
    rates.hessian_flops = hessian_rate.per_s();
    rates.factor_flops = factor_rate.per_s();
    rates.solver_flops = solver_rate.per_s();
    rates.estimated_weights = estimate_rate.per_s();
  }

  // Of refine and ALPS; 0 where neither is asked for.
  double products() const {
    if (run_->solver.refine == 0 && run_->solver.solver != solver::Algorithm::kAlps) return 0.0;
    const at::NoTF32Guard no_tf32;
    return rate_over(
        run_->chosen.front(),
        [&](const LinearSpec& layer) {
          const int64_t cols = std::min(layer.cols, side_);
          return Shape{rows_within(layer, cols), cols};
        },
        hessian_product_flops,
        [&](int64_t rows, int64_t cols) {
          const Tensor weight = random({rows, cols}, at::kFloat);
          const Tensor hessian = random({cols, cols}, at::kFloat);
          return hessian_product_flops(rows, cols) /
                 seconds_of([&] { kernels::affine(weight, hessian); });
        });
  }

  double eigenvectors() const {
    if (run_->solver.solver != solver::Algorithm::kAlps) return 0.0;
    return rate_over(
        run_->chosen.front(),
        [&](const LinearSpec& layer) {
          return Shape{0, std::min({layer.cols, side_, kLargestEigen})};
        },
        [](int64_t /*rows*/, int64_t cols) { return eigen_flops(cols); },
        [&](int64_t /*rows*/, int64_t cols) {
          const Tensor x = random({cols, cols}, at::kFloat);
          const Tensor symmetric = x + x.t();
          return eigen_flops(cols) / seconds_of([&] { at::linalg_eigh(symmetric); });
        });
  }

  // On the widest activation: what has the size of a narrow one stays in the caches between the calls.
  double elementwise() const {
    int64_t width = run_->model.config.hidden_size;
    for (const LinearSpec& layer : run_->model.linears) {
      width = std::max({width, layer.rows, layer.cols});
    }
    const Tensor x = random({batch_tokens_, std::min(width, side_)}, run_->dtype);
    return static_cast<double>(x.nbytes()) / seconds_of([&] { at::mul(x, x); });
  }

  // A block's layers, all at once: memory that is taken anew costs as much as the conversion.
  double load() const {
    std::vector<Tensor> stored;
    size_t size_bytes = 0;
    for (const LinearSpec& layer : run_->model.linears) {
      stored.push_back(at::rand({std::min(layer.rows, side_), std::min(layer.cols, side_)})
                           .to(run_->stored_dtype));
      size_bytes += stored.back().nbytes();
    }
    const double call_s = seconds_of([&] {
      std::vector<Tensor> loaded;
      for (const Tensor& weight : stored) {
        at::aminmax(weight);  // as models::WeightLoader checks it
        loaded.push_back(weight.to(device_, run_->dtype));
      }
    });
    return static_cast<double>(size_bytes) / call_s;
  }

 private:
  using Shape = std::pair<int64_t, int64_t>;  // rows, cols
  struct InputRates {
    double hessian_flops = 0.0;
    double factor_flops = 0.0;
    hessian::HessianFactor factor;
  };
  struct LayerRates {
    double solver_flops = 0.0;
    double estimated_weights = 0.0;
  };

  // The rate over all these layers of work that depends on a layer's shape. `cut` makes the shape small
  // enough to be measured, which each is once; the rate is taken to hold for the whole.
  template <class Cut, class Work, class Measure>
  double rate_over(const std::vector<LinearSpec>& layers, const Cut& cut, const Work& work,
                   const Measure& measure) const {
    MeanRate rate;
    std::map<Shape, double> measured;
    for (const LinearSpec& layer : layers) {
      const auto [rows, cols] = cut(layer);
      const auto [found, added] = measured.try_emplace({rows, cols});
      if (added) found->second = measure(rows, cols);
      rate.add(work(layer.rows, layer.cols), found->second);
    }
    return rate.per_s();
  }

  // Of a layer's rows, as many as keep a probe of the solver short.
  int64_t rows_within(const LinearSpec& layer, int64_t cols) const {
    const auto fitting = static_cast<int64_t>(most_flops_ / 2 / solver_flops(1, cols));
    return std::min(layer.rows, std::max<int64_t>(64, fitting));
  }

  InputRates measure_input(int64_t cols) const {
    InputRates rates;
    const double flops_per_token = hessian_flops(cols, 1, device_.is_cuda());
    const int64_t tokens = tokens_within(flops_per_token);
    const Tensor x = random({1, tokens, cols}, run_->dtype);
    hessian::HessianAccumulator accumulator(cols, device_);
    rates.hessian_flops =
        flops_per_token * static_cast<double>(tokens) / seconds_of([&] { accumulator.add(x); });
    Tensor hessian = at::eye(cols, at::TensorOptions(device_).dtype(at::kFloat)).add_(0.5);
    rates.factor_flops =
        factor_flops(cols) / seconds_of([&] { rates.factor = hessian::factorize_(hessian, 0.01); });
    return rates;
  }

  LayerRates measure_layer(int64_t rows, const hessian::HessianFactor& factor) const {
    const Tensor dense = random({rows, factor.cols()}, run_->dtype);
    solver::SolverOptions how = run_->solver;
    how.solver = solver::Algorithm::kSparseGpt;
    LayerRates rates;
    // With what the prune pass does before and after: a copy, the stored dtype and back, two checks, a hash.
    rates.solver_flops = solver_flops(rows, factor.cols()) / seconds_of([&] {
                           Tensor weight =
                               dense.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
                           solver::prune_columns_(weight, factor, how);
                           const Tensor stored = weight.to(run_->stored_dtype).cpu();
                           at::isfinite(stored).all();
                           stored.count_nonzero();
                           sha256_hex(stored);
                           stored.to(device_, run_->dtype);
                         });
    rates.estimated_weights = static_cast<double>(dense.numel()) /
                              seconds_of([&] { loss::estimate_loss(dense, factor); });
    return rates;
  }

  Tensor random(at::IntArrayRef shape, at::ScalarType dtype) const {
    return at::rand(shape, at::TensorOptions(device_).dtype(at::kFloat)).sub_(0.5).to(dtype);
  }

  // A batch's tokens, or as many as keep the probe short.
  int64_t tokens_within(double flops_per_token) const {
    return std::clamp<int64_t>(static_cast<int64_t>(most_flops_ / flops_per_token), 64,
                               batch_tokens_);
  }

  // The fastest of as many calls as fit into the probe's time, after one to warm up: the plan is for a
  // machine that does nothing else.
  template <class Action>
  double seconds_of(Action&& action) const {
    action();
    wait();
    double fastest_s = std::numeric_limits<double>::infinity();
    const double start_s = now_s();
    do {
      const double call_s = busy_s();
      action();
      wait();
      fastest_s = std::min(fastest_s, busy_s() - call_s);
    } while (now_s() - start_s < kProbe_s);
    return fastest_s;
  }

  // On the CPU the seconds that this thread was at work, waiting for the others included: what it lost to
  // other processes does not count.
  double busy_s() const {
    if (device_.is_cuda()) return now_s();
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  // Reading a value back waits for all that was asked of the device before.
  void wait() const {
    if (device_.is_cuda()) at::zeros({1}, device_).item<float>();
  }

  const RunShape* run_;
  at::Device device_;
  int64_t side_;
  double most_flops_;
  int64_t batch_tokens_;
};

}  // namespace

Rates measure_rates(const RunShape& run, at::Device device) {
  const Probes probes(run, device);
  Rates rates{.linear_flops = probes.linear(),
              .attention_flops = probes.attention(),
              .written_bytes = probes.elementwise(),
              .loaded_bytes = probes.load()};
  probes.statistics(rates);
  rates.product_flops = probes.products();
  rates.eigen_flops = probes.eigenvectors();
  return rates;
}

double measure_hash_rate() {
  const std::vector<std::byte> bytes(kHashedBytes);
  const double start_s = now_s();
  sha256_hex(bytes);
  return static_cast<double>(bytes.size()) / (now_s() - start_s);
}

DiskRates measure_disk(const std::filesystem::path& folder) {
  std::string name = (folder / ".prune-plan-XXXXXX").string();
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return {};
  unlink(name.c_str());
  const std::vector<char> bytes(kDiskBytes, 'p');
  // Calls a second that write so much and sync it; 0 if one fails.
  const auto rate = [&](size_t size) {
    const double start_s = now_s();
    const bool written =
        pwrite(fd, bytes.data(), size, 0) == static_cast<ssize_t>(size) && fsync(fd) == 0;
    return written ? 1.0 / (now_s() - start_s) : 0.0;
  };
  DiskRates rates;
  rates.stored_bytes = static_cast<double>(kDiskBytes) * rate(kDiskBytes);
  for (int i = 0; i < kSyncs; ++i) rates.synced_writes = std::max(rates.synced_writes, rate(1));
  close(fd);
  return rates;
}

double measure_read_rate(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0.0;
  std::vector<char> bytes(kDiskBytes);
  const double start_s = now_s();
  const ssize_t count = pread(fd, bytes.data(), bytes.size(), 0);
  const double elapsed_s = now_s() - start_s;
  close(fd);
  return count > 0 ? static_cast<double>(count) / elapsed_s : 0.0;
}

}  // namespace prune::plan
