#include <c10/util/Exception.h>
#include <prune/core/as_error.h>
#include <prune/core/tensor.h>

#include <new>

#include "support.h"

namespace prune {
namespace {

template <class Action>
std::string described(ErrorKind kind, Action&& action) {
  return test::error_of(kind, [&] {
    try {
      action();
    } catch (const std::exception& exception) {
      throw as_error(exception);
    }
  });
}

TEST(AsError, MemoryOfTheHostWithTheBytesThatWereAskedFor) {
  EXPECT_EQ(described(ErrorKind::kDevice, [] { at::empty({int64_t{1} << 46}, at::kFloat); }),
            "out of host memory: cannot allocate 281474976710656 bytes");
  EXPECT_EQ(described(ErrorKind::kDevice, [] { throw std::bad_alloc(); }), "out of host memory");
}

TEST(AsError, MemoryOfTheDeviceWithWhatIsFree) {
  const auto fail = [] {
    TORCH_CHECK_WITH(
        OutOfMemoryError, false,
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
        "79.18 GiB of which 1.20 GiB is free. Process 7 has 77.98 GiB memory in use.");
  };
  EXPECT_EQ(described(ErrorKind::kDevice, fail),
            "out of device memory: cannot allocate 2.00 GiB, 1.20 GiB free");
  EXPECT_EQ(described(ErrorKind::kDevice,
                      [] { TORCH_CHECK(false, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"); }),
            "out of device memory");
}

TEST(AsError, ErrorsStayAndTheRestIsOurs) {
  EXPECT_EQ(described(ErrorKind::kOutput, [] { throw Error(ErrorKind::kOutput, "full"); }), "full");
  EXPECT_EQ(described(ErrorKind::kInternal, [] { throw std::runtime_error("one\ntwo"); }), "one");
  EXPECT_EQ(described(ErrorKind::kInternal, [] { TORCH_CHECK(false, "shapes"); }), "shapes");
}

}  // namespace
}  // namespace prune
