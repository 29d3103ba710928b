#pragma once

#include <prune/core/error.h>

#include <exception>

namespace prune {

/// Converts any exception to a one-line Error. An Error is returned unchanged. A failed host or device
/// allocation (LibTorch's exceptions, std::bad_alloc) becomes kDevice, with the requested bytes if the
/// exception names them. Anything else becomes kInternal.
Error as_error(const std::exception& exception);

}  // namespace prune
