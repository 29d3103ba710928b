#include "unpacker.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace prune::calibration {
namespace {

class GzipUnpacker : public Unpacker {
 public:
  GzipUnpacker() {
    constexpr int kGzipOnly = 16;
    if (inflateInit2(&state_, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  GzipUnpacker(const GzipUnpacker&) = delete;
  GzipUnpacker& operator=(const GzipUnpacker&) = delete;
  ~GzipUnpacker() override { inflateEnd(&state_); }

  Step unpack(std::string_view packed, std::span<char> plain) override {
    Step step;
    // Tapes and block devices fill up with zeros; anything else behind a member has to be the next one.
    while (complete_ && step.consumed < packed.size() && packed[step.consumed] == '\0') {
      ++step.consumed;
    }
    packed.remove_prefix(step.consumed);
    if (packed.empty()) return step;
    if (complete_) inflateReset(&state_);
    complete_ = false;
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    const auto in = static_cast<uInt>(std::min(packed.size(), kMost));
    const auto out = static_cast<uInt>(std::min(plain.size(), kMost));
    // zlib does not write to its input, but declares it as writable.
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    state_.avail_in = in;
    state_.next_out = reinterpret_cast<Bytef*>(plain.data());
    state_.avail_out = out;
    const int code = inflate(&state_, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) throw std::bad_alloc();
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
      throw Error(ErrorKind::kInput, state_.msg != nullptr ? state_.msg : "corrupt gzip data");
    }
    complete_ = code == Z_STREAM_END;
    step.consumed += in - state_.avail_in;
    step.produced = out - state_.avail_out;
    return step;
  }
  bool complete() const override { return complete_; }

 private:
  z_stream state_{};
  bool complete_ = false;
};

class ZstdUnpacker : public Unpacker {
 public:
  ZstdUnpacker() : state_(ZSTD_createDStream()) {
    if (!state_) throw std::bad_alloc();
  }

  Step unpack(std::string_view packed, std::span<char> plain) override {
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    ZSTD_outBuffer out{plain.data(), plain.size(), 0};
    const size_t expected = ZSTD_decompressStream(state_.get(), &out, &in);
    if (ZSTD_isError(expected) != 0) {
      throw Error(ErrorKind::kInput, ZSTD_getErrorName(expected));
    }
    // Without input, a call after the end of a frame asks for the next one, which need not come.
    if (in.pos > 0 || out.pos > 0) complete_ = expected == 0;
    return {.consumed = in.pos, .produced = out.pos};
  }
  bool complete() const override { return complete_; }

 private:
  struct Free {
    void operator()(ZSTD_DStream* state) const { ZSTD_freeDStream(state); }
  };
  std::unique_ptr<ZSTD_DStream, Free> state_;
  bool complete_ = false;
};

}  // namespace

std::string compression_of(std::string_view start) {
  using namespace std::string_view_literals;
  if (start.starts_with("\x1F\x8B"sv)) return "gzip";
  if (start.starts_with("\x28\xB5\x2F\xFD"sv)) return "zstd";
  // pzstd begins with a skippable frame; its first byte has 16 values.
  if (start.size() >= 4 && (static_cast<unsigned char>(start[0]) & 0xF0U) == 0x50 &&
      start.substr(1).starts_with("\x2A\x4D\x18"sv)) {
    return "zstd";
  }
  for (const auto& [magic, name] : {std::pair{"\xFD"
                                              "7zXZ\0"sv,
                                              "xz"},
                                    {"BZh"sv, "bzip2"},
                                    {"PK\x03\x04"sv, "zip"}}) {
    if (!start.starts_with(magic)) continue;
    throw Error(
        ErrorKind::kInput,
        fmt::format("is compressed with {}; unpack it, or compress it with gzip or zstd", name));
  }
  return "";
}

std::unique_ptr<Unpacker> make_unpacker(const std::string& compression) {
  if (compression == "gzip") return std::make_unique<GzipUnpacker>();
  return std::make_unique<ZstdUnpacker>();
}

}  // namespace prune::calibration
