#include "byte_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/interrupt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace prune::calibration {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;

}  // namespace

ByteStream::File::File(const std::filesystem::path& path)
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) {
    throw Error(ErrorKind::kInput, fmt::format("cannot open: {}", strerror(errno)));
  }
  struct stat status {};
  if (fstat(descriptor_, &status) == 0 && S_ISDIR(status.st_mode)) {
    close(descriptor_);
    throw Error(ErrorKind::kInput, "is a folder, not a file");
  }
}

ByteStream::File::~File() { close(descriptor_); }

size_t ByteStream::File::read(char* bytes, size_t size) const {
  while (true) {
    const ssize_t count = ::read(descriptor_, bytes, size);
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) {
      throw Error(ErrorKind::kInput, fmt::format("cannot read: {}", strerror(errno)));
    }
    throw_if_interrupted();
  }
}

ByteStream::ByteStream(const std::filesystem::path& path) try
    : path_(path), file_(path), buffer_(kBufferBytes, '\0') {
  packed_.resize(kBufferBytes);
  size_t size = 0;
  while (size < kMagicBytes && !file_ended_) {
    const size_t count = file_.read(packed_.data() + size, packed_.size() - size);
    file_ended_ = count == 0;
    size += count;
  }
  packed_.resize(size);
  compression_ = compression_of(packed_);
  if (!compression_.empty()) unpacker_ = make_unpacker(compression_);
} catch (Error& error) {
  error.in(path.string());
}

bool ByteStream::fill() {
  begin_ = 0;
  end_ = 0;
  if (buffer_.size() < kBufferBytes) buffer_.resize(kBufferBytes);
  try {
    end_ = read_plain(buffer_.data(), buffer_.size());
  } catch (Error& error) {
    throw error.in(path_.string());
  }
  return end_ > 0;
}

// The next bytes of the text; 0 at its end.
size_t ByteStream::read_plain(char* bytes, size_t size) {
  if (!unpacker_) {
    const size_t count = std::min(size, packed_.size());
    if (count == 0) return file_ended_ ? 0 : file_.read(bytes, size);
    std::memcpy(bytes, packed_.data(), count);
    packed_.erase(0, count);
    return count;
  }
  while (true) {
    if (packed_.empty()) read_packed();
    Unpacker::Step step;
    try {
      // A last call without input gives what the unpacker still holds.
      step = unpacker_->unpack(packed_, {bytes, size});
    } catch (const Error& error) {
      throw Error(error.kind(),
                  fmt::format("cannot read: {} data is corrupt: {}", compression_, error.what()));
    }
    packed_.erase(0, step.consumed);
    packed_bytes_ += static_cast<int64_t>(step.consumed);
    plain_bytes_ += static_cast<int64_t>(step.produced);
    check_ratio();
    if (step.produced > 0) return step.produced;
    if (packed_.empty() && file_ended_) break;
  }
  if (!unpacker_->complete()) {
    throw Error(ErrorKind::kInput,
                fmt::format("cannot read: the {} data breaks off at byte {}; the file is "
                            "incomplete",
                            compression_, packed_bytes_));
  }
  return 0;
}

void ByteStream::read_packed() {
  if (file_ended_) return;
  packed_.resize(kBufferBytes);
  packed_.resize(file_.read(packed_.data(), packed_.size()));
  file_ended_ = packed_.empty();
}

/// Text compresses to between a third and a tenth. A file that compresses to a thousandth is an attack on
/// memory.
void ByteStream::check_ratio() const {
  constexpr int64_t kAlwaysAllowed = int64_t{64} << 20;
  constexpr int64_t kMaxRatio = 100;
  if (plain_bytes_ <= kAlwaysAllowed || plain_bytes_ / kMaxRatio <= packed_bytes_) return;
  throw Error(ErrorKind::kInput,
              fmt::format("{} compressed bytes expand to {}, which is too many for text; check "
                          "the file",
                          packed_bytes_, plain_bytes_));
}

std::string_view ByteStream::peek(size_t count) {
  while (end_ - begin_ < count) {
    std::string kept = buffer_.substr(begin_, end_ - begin_);
    const bool more = fill();
    kept.append(buffer_, 0, end_);
    put_back(std::move(kept));
    if (!more) break;
  }
  return std::string_view(buffer_).substr(begin_, std::min(count, end_ - begin_));
}

void ByteStream::put_back(std::string text) {
  begin_ = 0;
  end_ = text.size();
  buffer_ = std::move(text);
}

std::string ByteStream::read_all() {
  std::string content(buffer_, begin_, end_ - begin_);
  while (fill()) content.append(buffer_, 0, end_);
  begin_ = end_ = 0;
  return content;
}

bool ByteStream::read_line(std::string& line) {
  line.clear();
  bool any = false;
  while (begin_ < end_ || fill()) {
    any = true;
    const char* start = buffer_.data() + begin_;
    const void* newline = std::memchr(start, '\n', end_ - begin_);
    if (newline != nullptr) {
      const auto size = static_cast<size_t>(static_cast<const char*>(newline) - start);
      line.append(start, size);
      begin_ += size + 1;
      return true;
    }
    line.append(start, end_ - begin_);
    begin_ = end_;
  }
  return any;
}

}  // namespace prune::calibration
