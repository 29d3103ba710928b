#include <c10/util/Logging.h>
#include <netdb.h>
#include <prune/dist/communicator.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/exception.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "nccl_backend.h"

namespace prune::dist {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kPollEvery{20};
// A store that is alive answers at once.
constexpr milliseconds kStorePatience{2000};
// How long rank 0 serves the store for ranks that have not yet read why the run ends; some may be dead.
constexpr milliseconds kLinger{1000};
constexpr const char* kEnd = "end";
constexpr const char* kClosed = "closed";

std::vector<uint8_t> to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string first_line(const std::exception& exception) {
  const auto* const torch = dynamic_cast<const c10::Error*>(&exception);
  const std::string text = torch ? torch->what_without_backtrace() : exception.what();
  return text.substr(0, text.find('\n'));
}

// Result of `ask`, run in its own thread; nullopt after `patience`, with the thread abandoned: c10d's store
// waits forever for a server that accepts connections but never answers.
template <class Ask>
auto within(milliseconds patience, Ask ask) -> std::optional<decltype(ask())> {
  std::packaged_task<decltype(ask())()> task(std::move(ask));
  auto answer = task.get_future();
  std::thread(std::move(task)).detach();
  if (answer.wait_for(patience) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

// within() for a store that may be dead.
template <class Ask>
auto ask_store(Ask ask) -> std::optional<decltype(ask())> {
  try {
    return within(kStorePatience, std::move(ask));
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// Why nothing can connect to host:port; nullopt if something listens there.
std::optional<std::string> refusal(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) return gai_strerror(failure);
  std::optional<std::string> reason = "the host has no address";
  for (const addrinfo* a = found; a != nullptr && reason; a = a->ai_next) {
    const int fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    const timeval patience{.tv_sec = 1, .tv_usec = 0};  // connect() to a host that drops packets
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    reason = ::connect(fd, a->ai_addr, a->ai_addrlen) == 0
                 ? std::nullopt
                 : std::optional<std::string>(strerror(errno));
    ::close(fd);
  }
  freeaddrinfo(found);
  return reason;
}

// c10d's own client retries for 2.7 times the timeout and logs a stack per try.
void wait_for_server(const Environment& environment, milliseconds timeout) {
  const Clock::time_point end = Clock::now() + timeout;
  while (const auto reason = refusal(environment.host, environment.port)) {
    if (Clock::now() < end) {
      std::this_thread::sleep_for(5 * kPollEvery);
      continue;
    }
    throw LostRank(ErrorKind::kDevice,
                   fmt::format("rank 0 was not found at {}:{} within {} s (--dist-timeout): {}; "
                               "check MASTER_ADDR and MASTER_PORT",
                               environment.host, environment.port,
                               static_cast<double>(timeout.count()) / 1e3, *reason));
  }
}

c10::intrusive_ptr<c10d::TCPStore> open_store(const Environment& environment,
                                              milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = environment.port;
  options.isServer = environment.rank == 0 && !environment.agent_store;
  options.waitWorkers = false;
  options.timeout = timeout;
  if (!options.isServer) wait_for_server(environment, timeout);
  std::string reason = "it does not answer";
  try {
    const auto store = within(timeout, [host = environment.host, options] {
      return c10::make_intrusive<c10d::TCPStore>(host, options);
    });
    if (store) return *store;
  } catch (const std::exception& exception) {
    reason = first_line(exception);
  }
  if (reason.find("EADDRINUSE") != std::string::npos) {
    throw LostRank(ErrorKind::kDevice,
                   fmt::format("port {} of this machine is in use; set another MASTER_PORT",
                               environment.port));
  }
  throw LostRank(ErrorKind::kDevice, fmt::format("the server at {}:{} is not rank 0: {}",
                                                 environment.host, environment.port, reason));
}

std::string presence_key(int64_t rank) { return fmt::format("rank {}", rank); }

void meet_all(c10d::Store& store, const Environment& environment, milliseconds timeout) {
  if (store.add(presence_key(environment.rank), 1) > 1) {
    throw LostRank(ErrorKind::kDevice, fmt::format("two processes have RANK {}", environment.rank));
  }
  std::vector<int64_t> missing(static_cast<size_t>(environment.size));
  std::iota(missing.begin(), missing.end(), 0);
  const Clock::time_point end = Clock::now() + timeout;
  while (true) {
    if (store.check({kEnd})) {
      const std::vector<uint8_t> end_text = store.get(kEnd);
      throw LostRank(ErrorKind::kDevice, std::string(end_text.begin(), end_text.end()));
    }
    std::erase_if(missing, [&](int64_t rank) { return store.check({presence_key(rank)}); });
    if (missing.empty()) return;
    if (Clock::now() >= end) break;
    std::this_thread::sleep_for(kPollEvery);
  }
  throw LostRank(ErrorKind::kDevice,
                 fmt::format("{} of {} ranks did not join within {} s (--dist-timeout): rank {}",
                             missing.size(), environment.size,
                             static_cast<double>(timeout.count()) / 1e3, fmt::join(missing, ", ")));
}

// On one machine, the loopback address saves resolving the host's name, which may fail.
std::shared_ptr<::gloo::transport::Device> gloo_device(const std::string& host) {
  using Gloo = c10d::ProcessGroupGloo;
  if (const char* const interface = std::getenv("GLOO_SOCKET_IFNAME")) {
    return Gloo::createDeviceForInterface(interface);
  }
  const bool one_machine = host == "127.0.0.1" || host == "localhost";
  return one_machine ? Gloo::createDeviceForHostname("127.0.0.1") : Gloo::createDefaultDevice();
}

class C10dTransport : public Transport {
 public:
  C10dTransport(const Environment& environment, milliseconds timeout)
      : others_(environment.size - 1),
        serves_(environment.rank == 0 && !environment.agent_store),
        server_(open_store(environment, timeout)),
        store_(c10::make_intrusive<c10d::PrefixStore>("prune/" + environment.attempt, server_)) {
    meet(environment, timeout);
    const auto prefixed = [&](const char* name) {
      return c10::make_intrusive<c10d::PrefixStore>(name, store_);
    };
    const auto rank = static_cast<int>(environment.rank);
    const auto size = static_cast<int>(environment.size);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(gloo_device(environment.host));
    try {
      gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed("gloo"), rank, size, options);
      nccl_ = detail::make_nccl(prefixed("nccl"), rank, size, timeout);
    } catch (const std::exception& exception) {
      throw LostRank(ErrorKind::kDevice,
                     fmt::format("the ranks met, but cannot connect: {}; set GLOO_SOCKET_IFNAME to "
                                 "the network interface to use",
                                 first_line(exception)));
    }
  }

  void send(const Tensor& tensor, int64_t to) override {
    std::vector<Tensor> sent = {over_nccl(tensor) ? tensor : tensor.cpu()};
    backend(tensor).send(sent, static_cast<int>(to), /*tag=*/0)->wait();
  }

  void recv_(Tensor& tensor, int64_t from) override {
    const bool staged = tensor.is_cuda() && !over_nccl(tensor);
    std::vector<Tensor> received = {
        staged ? at::empty_like(tensor, tensor.options().device(at::kCPU)) : tensor};
    backend(tensor).recv(received, static_cast<int>(from), /*tag=*/0)->wait();
    if (staged) tensor.copy_(received[0]);
  }

  bool publish_end(const std::string& text) override {
    const auto published = ask_store([store = store_, text] {
      store->compareSet(kEnd, {}, to_bytes(text));
      return store->check({kEnd});
    });
    return published.has_value();
  }

  std::optional<std::string> published_end() override {
    return ask_store([store = store_]() -> std::string {
      if (!store->check({kEnd})) return "";
      const std::vector<uint8_t> bytes = store->get(kEnd);
      return {bytes.begin(), bytes.end()};
    });
  }

  void close(bool after_error) override {
    gloo_.reset();
    // The destructor would wait for dead peers; the process ends anyway.
    if (after_error) {
      nccl_.release();
    } else {
      nccl_.reset();
    }
    const auto closed = ask_store([store = store_] { return store->add(kClosed, 1); });
    if (!serves_ || !closed) return;
    const Clock::time_point end = Clock::now() + kLinger;
    while (store_->add(kClosed, 0) <= others_ && Clock::now() < end) {
      std::this_thread::sleep_for(kPollEvery);
    }
  }

 private:
  // A rank that finds others missing publishes it to those present.
  void meet(const Environment& environment, milliseconds timeout) {
    try {
      meet_all(*store_, environment, timeout);
    } catch (const LostRank& error) {
      publish_end(error.what());
      close(/*after_error=*/true);
      throw;
    } catch (const std::exception&) {
      throw LostRank(ErrorKind::kDevice, "lost rank 0 before all ranks had joined");
    }
  }

  bool over_nccl(const Tensor& tensor) const { return tensor.is_cuda() && nccl_; }
  c10d::Backend& backend(const Tensor& tensor) { return over_nccl(tensor) ? *nccl_ : *gloo_; }

  int64_t others_;
  bool serves_;
  c10::intrusive_ptr<c10d::TCPStore> server_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> gloo_;
  c10::intrusive_ptr<c10d::Backend> nccl_;
};

}  // namespace

Communicator connect(const Environment& environment, milliseconds timeout) {
  if (environment.size == 1) return {};
  // c10d logs every failure with a stack; our error says what a user needs.
  setenv("TORCH_CPP_LOG_LEVEL", "FATAL", /*overwrite=*/0);
  c10::initLogging();
  return {environment.rank, environment.size, timeout,
          std::make_unique<C10dTransport>(environment, timeout)};
}

}  // namespace prune::dist
