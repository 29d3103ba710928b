#pragma once

#include <cstdint>
#include <string>

#include "terminal.h"

namespace prune::cli {

struct LogOptions {
  std::string file;  ///< also write the log here, at full length; empty: no file
  bool quiet = false;
  bool verbose = false;
  Color color = Color::kAuto;  ///< of warnings on stderr
  int64_t rank = 0;            ///< ranks above 0 log warnings only, prefixed with their number
};

/// Sends the log to stderr (above the live line) and to `options.file`.
/// @throws Error(output) when the file cannot be written.
void start_log(const LogOptions& options);

/// @throws Error(output) if a line could not be written to the log file since.
void check_log();

}  // namespace prune::cli
