#include <prune/core/device.h>

#include "support.h"

namespace prune {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

TEST(FindDevice, SaysWhyAGpuCannotBeUsed) {
  EXPECT_THAT(test::error_of(ErrorKind::kDevice, [] { find_device("cuda:99"); }),
              AnyOf(HasSubstr("'cuda:99': this program was built without CUDA (preset cuda)"),
                    HasSubstr("GPUs are visible (nvidia-smi, CUDA_VISIBLE_DEVICES)")));
}

}  // namespace
}  // namespace prune
