#pragma once

#include <cstdint>
#include <string>

namespace prune::cli {

struct LogOptions {
  std::string file;  ///< a copy of the log, whatever the terminal shows
  bool quiet = false;
  bool verbose = false;
  int64_t rank =
      0;  ///< of several processes all but the first log warnings only, with their number
};

/// Sends the log to stderr (above the live line) and, if asked, to a file.
/// @throws Error(output) when the file cannot be written.
void start_log(const LogOptions& options);

}  // namespace prune::cli
