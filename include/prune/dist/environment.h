#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace prune::dist {

/// The place of this process among the processes of one run, as its launcher set it.
struct Environment {
  int64_t rank = 0;
  int64_t size = 1;
  int64_t local_rank = 0;  ///< among the processes of this machine; picks the GPU
  std::string host = {};   ///< of rank 0; empty if there is one process
  uint16_t port = 0;
  bool agent_store = false;  ///< torchrun serves the store, so rank 0 is a client like the others
  std::string attempt = {};  ///< torchrun's restart count: keeps a restart's keys apart
};

using GetVariable = std::function<std::optional<std::string>(const char* name)>;

/// Reads the variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT); if neither RANK
/// nor WORLD_SIZE is set, those of a Slurm step (src/dist/README.md, "Launchers"). Without a launcher the
/// run has one process.
/// @throws Error(usage) naming a variable that is missing or invalid.
Environment read_environment(const GetVariable& variable);
/// read_environment() of this process's environment variables.
Environment read_environment();

}  // namespace prune::dist
