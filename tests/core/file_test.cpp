#include <prune/core/json_file.h>
#include <prune/core/sha256.h>

#include "support.h"

namespace prune {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(Sha256OfFile, AFolderIsOpenedButCannotBeRead) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { sha256_of_file(folder.path()); }),
              HasSubstr(folder.path().string() + ": cannot read"));
}

TEST(WriteFile, SaysThatItCannotBeRenamedIntoPlace) {
  const test::TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());  // the empty path writes ".tmp" here first
  EXPECT_EQ(error_of(ErrorKind::kOutput, [&] { write_file("", "text"); }),
            ": cannot write: No such file or directory");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace prune
