#pragma once

#include <arpa/inet.h>
#include <prune/dist/communicator.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "support.h"

namespace prune::test {

/// A port that nobody had a moment ago. The socket may be kept, to have it taken.
class Port {
 public:
  Port() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    number_ = ntohs(address.sin_port);
  }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() { ::close(fd_); }
  uint16_t number() const { return number_; }

 private:
  int fd_;
  uint16_t number_ = 0;
};

inline uint16_t free_port() { return Port().number(); }

inline dist::Environment environment_of(int64_t rank, int64_t size, uint16_t port) {
  return {.rank = rank, .size = size, .host = "127.0.0.1", .port = port};
}

/// Runs `work` as every rank of a group, each in a thread of its own. @return the ranks' errors, empty
/// where there was none.
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
