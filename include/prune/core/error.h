#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace prune {

/// The kinds of failure a user can meet, one exit code each (src/core/README.md, "Exit codes").
enum class ErrorKind {
  kGate,         ///< 1: a perplexity is above its baseline
  kUsage,        ///< 2: the command line or a recipe
  kInput,        ///< 3: a file that was read
  kNumeric,      ///< 4: a factorisation that failed or a value that is not finite
  kDevice,       ///< 5: the device, or memory of any kind
  kOutput,       ///< 6: a file that was written
  kInternal,     ///< 70: a bug in this program
  kInterrupted,  ///< 130: SIGINT or SIGTERM; the run can be resumed
};

/// "input error", "numeric error", ... as printed before the message.
const char* kind_name(ErrorKind kind);

/// The exit code of a run that ends with this kind of error.
int exit_code(ErrorKind kind);

/// The only exception type for errors that a user can cause. It prints as one line:
/// `input error: model-2.safetensors: 'fc1.weight' ends at byte 4096, file has 4000`.
class Error : public std::exception {
 public:
  /// Escapes control characters, so that the message stays on one line.
  Error(ErrorKind kind, std::string_view message);

  ErrorKind kind() const { return kind_; }
  /// Context and message, without the kind.
  const char* what() const noexcept override { return message_.c_str(); }

  /// Prepends `where` (a file, a layer, a phase). Callers add context as the error passes them.
  Error& in(const std::string& where);

 private:
  ErrorKind kind_;
  std::string message_;
};

}  // namespace prune
