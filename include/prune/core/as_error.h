#pragma once

#include <prune/core/error.h>

#include <exception>

namespace prune {

/// Any exception as an Error of one line. Memory that host or device did not have (LibTorch's own
/// exceptions, std::bad_alloc) is kDevice, with the bytes that were asked for where they are known; an
/// Error stays what it is; anything else is kInternal.
Error as_error(const std::exception& exception);

}  // namespace prune
