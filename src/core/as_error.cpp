#include <c10/util/Exception.h>
#include <prune/core/as_error.h>

#include <filesystem>
#include <new>
#include <regex>
#include <string>

namespace prune {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// The host allocator's text: "... tried to allocate 68719476736 bytes. Error code 12 ...". The device
// allocator's text: "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.18
// GiB of which 1.20 GiB is free. ...".
Error memory_error(const char* where, const std::string& text) {
  static const std::regex kRequested("ried to allocate ([0-9.]+ [A-Za-z]+)");
  static const std::regex kFree("of which ([0-9.]+ [A-Za-z]+) is free");
  std::string message = std::string("out of ") + where + " memory";
  std::smatch match;
  if (std::regex_search(text, match, kRequested)) message += ": cannot allocate " + match[1].str();
  if (std::regex_search(text, match, kFree)) message += ", " + match[1].str() + " free";
  return {ErrorKind::kDevice, message};
}

Error from_torch(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  // cuBLAS, cuSOLVER and their like allocate device memory themselves.
  const bool library_allocation = text.find("_STATUS_ALLOC_FAILED") != std::string::npos;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr || library_allocation) {
    return memory_error("device", text);
  }
  // The CPU allocator has no exception type of its own.
  if (text.find("CPUAllocator") != std::string::npos) return memory_error("host", text);
  return {ErrorKind::kInternal, first_line(text)};
}

}  // namespace

Error as_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (const auto* error = dynamic_cast<const c10::Error*>(&exception)) return from_torch(*error);
  if (dynamic_cast<const std::filesystem::filesystem_error*>(&exception) != nullptr) {
    return {ErrorKind::kInput, first_line(exception.what())};
  }
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) {
    return memory_error("host", "");
  }
  return {ErrorKind::kInternal, first_line(exception.what())};
}

}  // namespace prune
