#include <gtest/gtest.h>
#include <prune/core/error.h>

namespace prune {
namespace {

TEST(Error, RoomsPutTheirContextInFront) {
  Error error(ErrorKind::kInput, "'fc1.weight' ends at byte 4096, file has 4000");
  error.in("model-2.safetensors").in("opt-125m");
  EXPECT_STREQ(error.what(),
               "opt-125m: model-2.safetensors: 'fc1.weight' ends at byte 4096, file has 4000");
}

TEST(Error, ExitCodesAreTheDocumentedOnes) {
  EXPECT_EQ(exit_code(ErrorKind::kGate), 1);
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kInput), 3);
  EXPECT_EQ(exit_code(ErrorKind::kNumeric), 4);
  EXPECT_EQ(exit_code(ErrorKind::kDevice), 5);
  EXPECT_EQ(exit_code(ErrorKind::kOutput), 6);
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 70);
  EXPECT_EQ(exit_code(ErrorKind::kInterrupted), 130);
}

}  // namespace
}  // namespace prune
