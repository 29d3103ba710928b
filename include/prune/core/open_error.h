#pragma once

#include <prune/core/error.h>

#include <filesystem>

namespace prune {

/// "PATH: cannot open: REASON"; of a link to a file that is gone, as in a hub cache cleaned halfway, it names the
/// file. @param error_number errno after the attempt
Error cannot_open(const std::filesystem::path& path, int error_number);

/// Checks what can be checked before the work whose result is to be written to `path`: that its folder exists and is
/// writable. An empty path is none. @throws Error(output)
void check_can_write(const std::filesystem::path& path);

}  // namespace prune
