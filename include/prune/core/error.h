#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace prune {

/// What went wrong, as the user meets it; each kind is one exit code (DESIGN §2).
enum class ErrorKind {
  kGate,         ///< 1: a perplexity is above its baseline
  kUsage,        ///< 2: the command line or a recipe
  kInput,        ///< 3: a file that was read
  kNumeric,      ///< 4: a factorisation or a value that is not finite
  kDevice,       ///< 5: the device, or memory of any kind
  kOutput,       ///< 6: a file that was written
  kInternal,     ///< 70: a defect of ours
  kInterrupted,  ///< 130: SIGINT or SIGTERM; the run can be resumed
};

/// "input error", "numeric error", ... as printed before the message.
const char* kind_name(ErrorKind kind);

/// The exit code of a program that ends with this kind.
int exit_code(ErrorKind kind);

/// The one exception for what a user can cause. It prints as one line:
/// `input error: model-2.safetensors: 'fc1.weight' ends at byte 4096, file has 4000`.
class Error : public std::exception {
 public:
  /// Control characters of the message are escaped, so that it stays one line.
  Error(ErrorKind kind, std::string_view message);

  ErrorKind kind() const { return kind_; }
  /// Context and message, without the kind.
  const char* what() const noexcept override { return message_.c_str(); }

  /// Puts `where` (a file, a layer, a phase) before the message; rooms do so on the way out.
  Error& in(const std::string& where);

 private:
  ErrorKind kind_;
  std::string message_;
};

}  // namespace prune
