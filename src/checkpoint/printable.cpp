#include "printable.h"

#include <fmt/format.h>

namespace prune::checkpoint {

std::string printable(std::string_view name) {
  constexpr size_t kLimit = 160;
  std::string shown;
  for (const char c : name.substr(0, kLimit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return name.size() > kLimit ? shown + "..." : shown;
}

}  // namespace prune::checkpoint
