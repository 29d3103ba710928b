#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace prune::dist {

/// What this process is among those that work on one run, as its launcher says.
struct Environment {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  ///< among the processes of this machine: which GPU it takes
  std::string host = {};   ///< where rank 0 waits for the others; empty if alone
  uint16_t port = 0;
  bool agent_store = false;  ///< torchrun serves the store; rank 0 is a client like the others
  std::string attempt = {};  ///< differs when torchrun starts the ranks again
};

using GetVariable = std::function<std::optional<std::string>(const char* name)>;

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT (torchrun and the like); without those,
/// a Slurm step of more than one task: its variables, the first host of its node list, and a port that
/// follows from job and step. MASTER_ADDR and MASTER_PORT go before what Slurm's variables give. A Slurm
/// allocation without srun is one process.
/// @throws Error(usage) naming a variable that is missing or makes no sense.
Environment read_environment(const GetVariable& variable);
/// The same of the process's own environment.
Environment read_environment();

}  // namespace prune::dist
