#include "not_weights.h"

#include <prune/core/error.h>
#include <prune/core/git_lfs.h>

#include <string_view>

namespace prune::checkpoint {

void reject_placeholder(std::span<const std::byte> file) {
  if (file.empty()) throw Error(ErrorKind::kInput, "is empty");
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  reject_lfs_pointer(text);
}

}  // namespace prune::checkpoint
