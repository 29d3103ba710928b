#pragma once

#include <string>

namespace prune::cli {

struct LogOptions {
  std::string file;  ///< a copy of the log, whatever the terminal shows
  bool quiet = false;
  bool verbose = false;
};

/// Sends the log to stderr (above the live line) and, if asked, to a file.
/// @throws Error(output) when the file cannot be written.
void start_log(const LogOptions& options);

}  // namespace prune::cli
