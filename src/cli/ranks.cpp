#include "ranks.h"

#include <prune/core/as_error.h>
#include <prune/core/device.h>
#include <prune/core/error.h>

#include <map>

#include "terminal.h"

namespace prune::cli {

void add_dist_timeout(CLI::App& app, int64_t& timeout_s) {
  add_positive_option(app, "--dist-timeout", timeout_s, "seconds to wait for another rank");
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

namespace {

// Without this check NCCL fails with "invalid usage" after the first block.
void refuse_shared_gpu(at::Device device, dist::Communicator& comm) {
  std::map<std::string, int64_t> users;
  for (int64_t rank = 0; rank < comm.size(); ++rank) {
    const std::string uuid = comm.broadcast(device_uuid(device), rank);
    if (uuid.empty()) continue;
    const auto [other, added] = users.emplace(uuid, rank);
    if (added) continue;
    throw Error(ErrorKind::kDevice,
                fmt::format("ranks {} and {} use the same GPU; start one rank per GPU (Slurm: "
                            "--gpus-per-task 1) without --device cuda:N",
                            other->second, rank));
  }
}

}  // namespace

void choose_gpu(pipeline::ModelChoice& model, dist::Communicator& comm) {
  if (comm.size() == 1) return;
  const bool named = model.device != "auto" && model.device != "cuda";
  // With Slurm's --gpus-per-task each process sees its own GPU only.
  if (!named && find_device(model.device).is_cuda() && gpu_count() > 1) {
    model.device = fmt::format("cuda:{}", dist::read_environment().local_rank);
  }
  refuse_shared_gpu(find_device(model.device), comm);
}

std::unique_ptr<Progress> make_progress(const dist::Communicator& comm) {
  if (comm.rank() > 0) return std::make_unique<NoProgress>();
  return make_progress();
}

}  // namespace prune::cli
