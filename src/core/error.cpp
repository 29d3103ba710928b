#include <prune/core/error.h>
#include <prune/core/printable.h>

namespace prune {
namespace {

/// Fits two paths of maximum length (PATH_MAX is 4096).
constexpr size_t kMaxMessageBytes = 8192;

}  // namespace

const char* kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kGate:
      return "gate failed";
    case ErrorKind::kUsage:
      return "usage error";
    case ErrorKind::kInput:
      return "input error";
    case ErrorKind::kNumeric:
      return "numeric error";
    case ErrorKind::kDevice:
      return "device error";
    case ErrorKind::kOutput:
      return "output error";
    case ErrorKind::kInternal:
      return "internal error";
    case ErrorKind::kInterrupted:
      return "interrupted";
  }
  return "internal error";
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kGate:
      return 1;
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kInput:
      return 3;
    case ErrorKind::kNumeric:
      return 4;
    case ErrorKind::kDevice:
      return 5;
    case ErrorKind::kOutput:
      return 6;
    case ErrorKind::kInternal:
      return 70;
    case ErrorKind::kInterrupted:
      return 130;
  }
  return 70;
}

Error::Error(ErrorKind kind, std::string_view message)
    : kind_(kind), message_(printable(message, kMaxMessageBytes)) {}

Error& Error::in(const std::string& where) {
  message_ = printable(where + ": " + message_, kMaxMessageBytes);
  return *this;
}

}  // namespace prune
