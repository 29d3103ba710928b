#pragma once

#include <prune/core/error.h>
#include <prune/core/tensor.h>
#include <prune/dist/environment.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

namespace prune::dist {

/// Kinds of data sent, counted separately for the report.
enum class Traffic { kHessians, kWeights, kOther };
inline constexpr size_t kTraffics = 3;

/// Work of this rank since the process started.
struct WorkCounters {
  int64_t hessian_tokens = 0;  ///< rows of activations added to Hessians
  double hessian_flops = 0.0;
  std::array<int64_t, kTraffics> sent_bytes{};  ///< by Traffic
};

/// The run ends because of another rank: it died, failed, or does not answer.
class LostRank : public Error {
 public:
  using Error::Error;
};

/// Point-to-point sends between ranks. The interface keeps c10d's headers in one source file: they take
/// 15 to 25 s to compile.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Both return once the tensor's memory may be reused.
  /// @throws std::exception if the peer is dead or does not answer within the timeout.
  virtual void send(const Tensor& tensor, int64_t to) = 0;
  virtual void recv_(Tensor& tensor, int64_t from) = 0;
  /// Publishes why the run ends; the first message wins. False if the store does not answer.
  virtual bool publish_end(const std::string& text) = 0;
  /// The published message, empty if there is none yet; nullopt if the store does not answer.
  virtual std::optional<std::string> published_end() = 0;
  /// Closes the connections. The process that serves the store first waits for the others to close theirs.
  virtual void close(bool after_error) = 0;
};

/// The ranks of a run. All ranks call the collective operations (all but send() and recv_()) in the same
/// sequence; with one process they do nothing. They are built from sends between two ranks, because a rank
/// that loses its peer then knows which one, and broadcasts follow a binomial tree, in which no rank sends
/// more than ceil(log2 size) copies (src/dist/README.md, "Collectives").
class Communicator {
 public:
  /// The only rank of a run with one process.
  Communicator() = default;
  Communicator(int64_t rank, int64_t size, std::chrono::milliseconds timeout,
               std::unique_ptr<Transport> transport);
  Communicator(Communicator&&) = default;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }

  /// Sets the phase ("prune block 3/12") that errors name from here on.
  void enter(const std::string& phase) { phase_ = phase; }

  // Tensors are contiguous. Those on a GPU go over NCCL where the build has it, all others over Gloo.
  // @throws LostRank naming the rank and the phase.
  void send(const Tensor& tensor, int64_t to, Traffic what);
  void recv_(Tensor& tensor, int64_t from);
  /// Copies the root's tensor into `tensor` of every rank, which has the same shape and dtype.
  void broadcast_(Tensor& tensor, int64_t root, Traffic what);
  std::string broadcast(const std::string& text, int64_t root);
  std::vector<double> broadcast(const std::vector<double>& numbers, int64_t root);
  /// Concatenates the parts [n, ...] of all ranks, rank 0 first. n may differ between ranks.
  /// @return the same tensor on every rank, on the CPU
  Tensor gather(const Tensor& part);
  /// Adds up the tensors of all ranks, which have the same shape, along a binary tree; every rank gets the sum.
  void sum_(Tensor& tensor, Traffic what);
  void barrier();

  /// Ends the run for this rank after an error, and publishes the error to the other ranks.
  void leave(const Error& error);
  /// Ends a run that succeeded; all ranks call it.
  void finish();

  WorkCounters& counters() { return counters_; }

 private:
  [[noreturn]] void give_up(int64_t peer, const std::string& reason);

  int64_t rank_ = 0;
  int64_t size_ = 1;
  std::chrono::milliseconds timeout_{};
  std::unique_ptr<Transport> transport_;
  std::string phase_ = "start";
  WorkCounters counters_;
};

/// Connects to the other ranks. @param timeout  of this call and of every later wait for another rank
/// @throws Error(device) naming the address, the port or the ranks that did not join.
Communicator connect(const Environment& environment, std::chrono::milliseconds timeout);

}  // namespace prune::dist
