#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace prune::calibration {

/// Unpacks compressed data piece by piece. Data may consist of several gzip members or zstd frames.
class Unpacker {
 public:
  struct Step {
    size_t consumed = 0;
    size_t produced = 0;
  };

  virtual ~Unpacker() = default;
  /// @throws Error(input) if the data is corrupt.
  virtual Step unpack(std::string_view packed, std::span<char> plain) = 0;
  /// True where the data may end.
  virtual bool complete() const = 0;
};

/// Bytes of a file's start that tell its compression.
inline constexpr size_t kMagicBytes = 6;

/// "gzip", "zstd", or empty for a plain file. Names do not count: many files are stored under wrong ones.
/// @throws Error(input) for a compression that is recognised but not supported.
std::string compression_of(std::string_view start);

/// @param compression  "gzip" or "zstd"
std::unique_ptr<Unpacker> make_unpacker(const std::string& compression);

}  // namespace prune::calibration
