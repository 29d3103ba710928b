#include <prune/dist/communicator.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace prune::dist {
namespace {

// Published when a run ends early, as "RANK KIND ERROR": the rank that caused it, and its error. The error is
// empty if another rank found this one dead.
struct EndMessage {
  int64_t rank = 0;
  ErrorKind kind = ErrorKind::kDevice;
  std::string error = {};
};

std::string to_text(const EndMessage& end) {
  return fmt::format("{} {} {}", end.rank, static_cast<int>(end.kind), end.error);
}

std::optional<EndMessage> parse_end(const std::string& text) {
  EndMessage end;
  int kind = 0;
  int length = 0;
  if (std::sscanf(text.c_str(), "%ld %d %n", &end.rank, &kind, &length) != 2) return std::nullopt;
  end.kind = static_cast<ErrorKind>(kind);
  end.error = text.substr(static_cast<size_t>(length));
  return end;
}

}  // namespace

Communicator::Communicator(int64_t rank, int64_t size, std::chrono::milliseconds timeout,
                           std::unique_ptr<Transport> transport)
    : rank_(rank), size_(size), timeout_(timeout), transport_(std::move(transport)) {}

void Communicator::send(const Tensor& tensor, int64_t to, Traffic what) {
  if (tensor.numel() == 0) return;
  try {
    transport_->send(tensor, to);
  } catch (const std::exception& exception) {
    give_up(to, exception.what());
  }
  counters_.sent_bytes[static_cast<size_t>(what)] += tensor.numel() * tensor.element_size();
}

void Communicator::recv_(Tensor& tensor, int64_t from) {
  if (tensor.numel() == 0) return;
  try {
    transport_->recv_(tensor, from);
  } catch (const std::exception& exception) {
    give_up(from, exception.what());
  }
}

// Binomial tree, ranks counted from the root: v > 0 receives from v without its highest bit, then sends to
// v + 2^k for every 2^k > v.
void Communicator::broadcast_(Tensor& tensor, int64_t root, Traffic what) {
  if (size_ == 1) return;
  const auto place = static_cast<uint64_t>((rank_ - root + size_) % size_);
  const auto rank_of = [&](uint64_t at) { return (static_cast<int64_t>(at) + root) % size_; };
  if (place > 0) recv_(tensor, rank_of(place - std::bit_floor(place)));
  for (uint64_t step = place == 0 ? 1 : 2 * std::bit_floor(place);
       place + step < static_cast<uint64_t>(size_); step *= 2) {
    send(tensor, rank_of(place + step), what);
  }
}

std::string Communicator::broadcast(const std::string& text, int64_t root) {
  if (size_ == 1) return text;
  Tensor length = at::scalar_tensor(static_cast<int64_t>(text.size()), at::kLong);
  broadcast_(length, root, Traffic::kOther);
  Tensor bytes = at::empty({length.item<int64_t>()}, at::kByte);
  if (rank_ == root) std::ranges::copy(text, bytes.mutable_data_ptr<uint8_t>());
  broadcast_(bytes, root, Traffic::kOther);
  const auto* const data = bytes.const_data_ptr<uint8_t>();
  return {data, data + bytes.numel()};
}

std::vector<double> Communicator::broadcast(const std::vector<double>& numbers, int64_t root) {
  const auto* const bytes = reinterpret_cast<const char*>(numbers.data());
  const std::string text = broadcast(std::string(bytes, numbers.size() * sizeof(double)), root);
  std::vector<double> result(text.size() / sizeof(double));
  std::memcpy(result.data(), text.data(), text.size());
  return result;
}

Tensor Communicator::gather(const Tensor& part) {
  Tensor mine = part.cpu().contiguous();
  if (size_ == 1) return mine;
  Tensor lengths = at::zeros({size_}, at::kLong);
  std::vector<Tensor> parts = {mine};
  for (int64_t from = 1; from < size_; ++from) {
    Tensor length = at::scalar_tensor(mine.size(0), at::kLong);
    if (rank_ == from) {
      send(length, 0, Traffic::kOther);
      send(mine, 0, Traffic::kOther);
    } else if (rank_ == 0) {
      recv_(length, from);
      std::vector<int64_t> shape = mine.sizes().vec();
      shape[0] = length.item<int64_t>();
      recv_(parts.emplace_back(at::empty(shape, mine.options())), from);
    }
  }
  Tensor all = rank_ == 0 ? at::cat(parts) : mine;
  Tensor length = at::scalar_tensor(all.size(0), at::kLong);
  broadcast_(length, 0, Traffic::kOther);
  if (rank_ != 0) {
    std::vector<int64_t> shape = mine.sizes().vec();
    shape[0] = length.item<int64_t>();
    all = at::empty(shape, mine.options());
  }
  broadcast_(all, 0, Traffic::kOther);
  return all;
}

void Communicator::barrier() {
  if (size_ > 1) gather(at::zeros({1}, at::kByte));
}

void Communicator::sum_(Tensor& tensor, Traffic what) {
  for (int64_t step = 1; step < size_; step *= 2) {
    if (rank_ % (2 * step) == step) {
      send(tensor, rank_ - step, what);
      break;
    }
    if (rank_ + step >= size_) continue;
    Tensor other = at::empty_like(tensor);
    recv_(other, rank_ + step);
    tensor.add_(other);
  }
  broadcast_(tensor, 0, what);
}

// If a waits for b and b for a dead c, then b ends and a sees b die. So a rank that loses its peer first
// reads whether an end was published, and otherwise publishes the loss. A store that does not answer means
// that rank 0, which serves it, is dead.
void Communicator::give_up(int64_t peer, const std::string& reason) {
  const std::optional<std::string> published = transport_->published_end();
  EndMessage end{.rank = published ? peer : 0};
  if (const auto known = published ? parse_end(*published) : std::nullopt) {
    end = *known;
  } else if (reason.find("imed out") != std::string::npos && published) {
    throw LostRank(ErrorKind::kDevice,
                   fmt::format("rank {} did not answer for {} s (--dist-timeout) in {}", peer,
                               static_cast<double>(timeout_.count()) / 1e3, phase_));
  } else {
    transport_->publish_end(to_text(end));
  }
  if (end.error.empty()) {
    throw LostRank(ErrorKind::kDevice, fmt::format("lost rank {} in {}", end.rank, phase_));
  }
  throw LostRank(end.kind == ErrorKind::kInterrupted ? end.kind : ErrorKind::kDevice,
                 fmt::format("rank {} ended in {}: {}", end.rank, phase_, end.error));
}

void Communicator::leave(const Error& error) {
  if (transport_ == nullptr) return;
  transport_->publish_end(
      to_text({.rank = rank_,
               .kind = error.kind(),
               .error = fmt::format("{}: {}", kind_name(error.kind()), error.what())}));
  transport_->close(/*after_error=*/true);
}

void Communicator::finish() {
  if (transport_ == nullptr) return;
  enter("end");
  barrier();
  transport_->close(/*after_error=*/false);
}

}  // namespace prune::dist
