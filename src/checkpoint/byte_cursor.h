#pragma once

#include <fmt/format.h>
#include <prune/core/error.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace prune::checkpoint {

/// Reads consecutive little-endian numbers and never reads past the end.
/// @throws Error(input) if fewer bytes are left than requested.
class ByteCursor {
 public:
  /// @param what name of the bytes in error messages, e.g. "zip directory".
  ByteCursor(std::span<const std::byte> bytes, std::string_view what, size_t position = 0)
      : bytes_(bytes), what_(what), position_(position) {}

  template <class Number>
  Number read() {
    static_assert(std::is_arithmetic_v<Number>);
    Number number{};
    std::memcpy(&number, take(sizeof(Number)).data(), sizeof(Number));
    return number;
  }

  std::span<const std::byte> take(uint64_t count) {
    if (position_ > bytes_.size() || count > bytes_.size() - position_) {
      throw Error(ErrorKind::kInput, fmt::format("{} ends at byte {}, {} more needed at byte {}",
                                                 what_, bytes_.size(), count, position_));
    }
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }

  std::string_view take_text(uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  void skip(uint64_t count) { take(count); }
  bool at_end() const { return position_ >= bytes_.size(); }
  size_t position() const { return position_; }
  size_t left() const { return at_end() ? 0 : bytes_.size() - position_; }

 private:
  std::span<const std::byte> bytes_;
  std::string_view what_;
  size_t position_;
};

}  // namespace prune::checkpoint
