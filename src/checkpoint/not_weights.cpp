#include "not_weights.h"

#include <prune/core/error.h>

#include <string_view>

namespace prune::checkpoint {

void reject_placeholder(std::span<const std::byte> file) {
  if (file.empty()) throw Error(ErrorKind::kInput, "is empty");
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("version https://git-lfs.github.com/spec/")) {
    throw Error(ErrorKind::kInput,
                "is a Git LFS pointer, not the weights; fetch them with 'git lfs pull'");
  }
}

}  // namespace prune::checkpoint
