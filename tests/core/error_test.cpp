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

TEST(Error, HostileNamesNeitherBreakTheLineNorTalkToTheTerminal) {
  Error error(ErrorKind::kInput, "tensor 'a\nb\x1b[31m' is missing");
  error.in("x\r.json");
  EXPECT_STREQ(error.what(), R"(x\x0d.json: tensor 'a\x0ab\x1b[31m' is missing)");
  EXPECT_LT(std::string(Error(ErrorKind::kInput, std::string(1'000'000, 'x')).what()).size(),
            10'000U);
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
