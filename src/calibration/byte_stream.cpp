#include "byte_stream.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

namespace prune::calibration {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 18;

}  // namespace

void ByteStream::Close::operator()(gzFile_s* file) const { gzclose_r(file); }

ByteStream::ByteStream(const std::filesystem::path& path)
    : path_(path), buffer_(kBufferBytes, '\0') {
  if (std::filesystem::is_directory(path)) {
    throw Error(ErrorKind::kInput, fmt::format("{}: is a folder, not a file", path.string()));
  }
  file_.reset(gzopen(path.c_str(), "rb"));
  if (!file_) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: cannot open: {}", path.string(), strerror(errno)));
  }
  gzbuffer(file_.get(), static_cast<unsigned>(kBufferBytes));
}

bool ByteStream::fill() {
  const int count = gzread(file_.get(), buffer_.data(), static_cast<unsigned>(buffer_.size()));
  begin_ = 0;
  end_ = count > 0 ? static_cast<size_t>(count) : 0;
  int code = Z_OK;
  const char* reason = gzerror(file_.get(), &code);
  // At the end of a truncated file, gzread returns the bytes it has and sets Z_BUF_ERROR.
  if (code != Z_OK && code != Z_STREAM_END) {
    throw Error(ErrorKind::kInput, fmt::format("{}: cannot read: {}", path_.string(), reason));
  }
  total_bytes_ += static_cast<int64_t>(end_);
  check_ratio();
  return end_ > 0;
}

/// Text compresses to between a third and a tenth. A file that compresses to a thousandth is an attack on
/// memory.
void ByteStream::check_ratio() const {
  constexpr int64_t kAlwaysAllowed = int64_t{64} << 20;
  constexpr int64_t kMaxRatio = 100;
  const int64_t packed_bytes = gzoffset(file_.get());
  if (total_bytes_ <= kAlwaysAllowed || total_bytes_ / kMaxRatio <= packed_bytes) return;
  throw Error(ErrorKind::kInput,
              fmt::format("{}: {} compressed bytes expand to {}, which is too many "
                          "for text; check the file",
                          path_.string(), packed_bytes, total_bytes_));
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
