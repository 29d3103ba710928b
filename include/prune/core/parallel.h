#pragma once

#include <cstdint>
#include <functional>

namespace prune {

/// Calls body(first, last) for parts of [begin, end) on LibTorch's threads, as LibTorch's at::parallel_for does. That
/// function is a header whose parallelism comes from the caller's -fopenmp: our code is compiled without, since clang's
/// would bring a second OpenMP runtime whose threads compete with LibTorch's.
/// @param grain least size of a part. With one part, or within another parallel_for(), the body runs on this thread.
/// @throws what the body threw for the lowest part
void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body);

}  // namespace prune
