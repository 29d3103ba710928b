#include "ranks.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <prune/core/as_error.h>
#include <prune/core/device.h>
#include <prune/core/error.h>

#include "terminal.h"

namespace prune::cli {
void add_dist_timeout(CLI::App& app, int64_t& timeout_s) {
  app.add_option("--dist-timeout", timeout_s, "seconds to wait for another rank of the run")
      ->check(CLI::PositiveNumber);
}

bool with_ranks(CommonFlags& flags, int64_t timeout_s,
                const std::function<void(dist::Communicator&)>& work) {
  const dist::Environment environment = dist::read_environment();
  if (environment.rank > 0) {
    flags.log.rank = environment.rank;
    flags.log.file.clear();
  }
  try {
    dist::Communicator comm = dist::connect(environment, std::chrono::seconds(timeout_s));
    try {
      work(comm);
      comm.finish();
    } catch (const std::exception& exception) {
      comm.leave(as_error(exception));
      throw;
    }
  } catch (const std::exception& exception) {
    Error error = as_error(exception);
    if (environment.size > 1) error.in(fmt::format("rank {}", environment.rank));
    throw error;
  }
  return environment.rank == 0;
}

void rank_0_first(dist::Communicator& comm, const std::function<void()>& look) {
  if (comm.rank() == 0) look();
  comm.barrier();
  if (comm.rank() != 0) look();
}

void choose_gpu(pipeline::ModelChoice& model, const dist::Communicator& comm) {
  const bool named = model.device != "auto" && model.device != "cuda";
  if (comm.size() == 1 || named || !find_device(model.device).is_cuda()) return;
  // Slurm's --gpus-per-task shows each process its own one only.
  if (at::detail::getCUDAHooks().deviceCount() == 1) return;
  model.device = fmt::format("cuda:{}", dist::read_environment().local_rank);
}

std::unique_ptr<Progress> make_progress(const dist::Communicator& comm) {
  if (comm.rank() > 0) return std::make_unique<NoProgress>();
  return make_progress();
}

}  // namespace prune::cli
