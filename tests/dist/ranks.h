#pragma once

#include <prune/dist/communicator.h>

#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "dist/port.h"
#include "support.h"

namespace prune::test {

inline dist::Environment environment_of(int64_t rank, int64_t size, uint16_t port) {
  return {.rank = rank, .size = size, .host = "127.0.0.1", .port = port};
}

/// Runs `work` on `size` ranks, one thread each. @return the error of each rank, empty if it had none
inline std::vector<std::string> run_ranks(
    int64_t size, const std::function<void(dist::Communicator&)>& work,
    std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
  const uint16_t port = free_port();
  std::vector<std::string> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      std::string& error = errors[static_cast<size_t>(rank)];
      try {
        dist::Communicator comm = dist::connect(environment_of(rank, size, port), timeout);
        try {
          work(comm);
          comm.finish();
        } catch (const Error& caught) {
          error = caught.what();
          comm.leave(caught);
        }
      } catch (const Error& caught) {
        error = caught.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

}  // namespace prune::test
