#pragma once

#include <prune/core/error.h>

#include <string_view>

namespace prune {

/// Rejects a Git LFS pointer, which a clone contains in place of a large file until that is fetched.
/// @throws Error(input) with the remedy but without the file's name.
inline void reject_lfs_pointer(std::string_view file) {
  if (!file.starts_with("version https://git-lfs.github.com/spec/")) return;
  throw Error(ErrorKind::kInput,
              "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'");
}

}  // namespace prune
