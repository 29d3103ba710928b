#pragma once

#include <prune/core/error.h>

#include <filesystem>

namespace prune {

/// "PATH: cannot open: REASON"; of a link to a file that is gone, as in a hub cache cleaned halfway, it names the
/// file. @param error_number errno after the attempt
Error cannot_open(const std::filesystem::path& path, int error_number);

}  // namespace prune
