#pragma once

#include <prune/core/error.h>
#include <prune/core/tensor.h>
#include <prune/dist/environment.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

namespace prune::dist {

/// What is sent, for the report.
enum class Traffic { kHessians, kWeights, kOther };
inline constexpr size_t kTraffics = 3;

/// What this rank has done for the run so far.
struct WorkCounters {
  int64_t hessian_tokens = 0;  ///< rows of layer inputs that went into Hessians
  double hessian_flops = 0.0;
  std::array<int64_t, kTraffics> sent_bytes{};  ///< by Traffic
};

/// The run is over because of another rank: it died, gave up, or does not answer.
class LostRank : public Error {
 public:
  using Error::Error;
};

/// Moves tensors from rank to rank; c10d behind an interface of our own.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Both return when the tensor's memory may be used again. @throws std::exception when the peer is
  /// gone or does not come in time.
  virtual void send(const Tensor& tensor, int64_t to) = 0;
  virtual void recv_(Tensor& tensor, int64_t from) = 0;
  /// Leaves word of why the run ends; the first word stays. False if it can reach nobody.
  virtual bool publish_end(const std::string& text) = 0;
  /// The word that was left, empty if none was; none if it could not be asked for.
  virtual std::optional<std::string> published_end() = 0;
  /// Ends the connections, and lets the others come to their end first if they need this process.
  virtual void close(bool after_error) = 0;
};

/// The ranks of a run. Every operation but send() and recv_() is called by all ranks in the same order; of
/// one process, all of them do nothing. They go along binomial trees made of sends between two ranks: so
/// the volume grows with the logarithm of the number of ranks at the busiest of them, and whoever
/// loses a rank knows which.
class Communicator {
 public:
  /// A process alone.
  Communicator() = default;
  Communicator(int64_t rank, int64_t size, std::chrono::milliseconds timeout,
               std::unique_ptr<Transport> transport);
  Communicator(Communicator&&) = default;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }

  /// Names what comes next ("prune block 3/12") for errors.
  void enter(const std::string& phase) { phase_ = phase; }

  // Tensors are contiguous; what is on a GPU goes over NCCL, all else over Gloo.
  // @throws LostRank naming rank and phase.
  void send(const Tensor& tensor, int64_t to, Traffic what);
  void recv_(Tensor& tensor, int64_t from);
  /// The root's tensor to all; they have its shape and dtype already.
  void broadcast_(Tensor& tensor, int64_t root, Traffic what);
  std::string broadcast(const std::string& text, int64_t root);
  std::vector<double> broadcast(const std::vector<double>& numbers, int64_t root);
  /// The parts [n, ...] of all ranks in the order of the ranks, on every rank, on the CPU; n may differ.
  Tensor gather(const Tensor& part);
  void barrier();

  /// Ends the run for this rank: tells the others why, if it is an error of its own.
  void leave(const Error& error);
  /// Ends it after all went well.
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

/// Meets the other ranks. @param timeout for this, and for every later wait for another rank
/// @throws Error(device) naming address, port or the ranks that did not come.
Communicator connect(const Environment& environment, std::chrono::milliseconds timeout);

}  // namespace prune::dist
