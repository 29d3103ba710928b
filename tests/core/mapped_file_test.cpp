#include <prune/core/mapped_file.h>
#include <sys/stat.h>

#include <cstring>

#include "support.h"

namespace prune {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(MappedFile, ShowsTheBytesAlsoAfterTheyWereDropped) {
  const test::TemporaryFolder folder;
  const std::string content(10000, 'x');
  const auto file = MappedFile::open(folder.write("a b é.bin", content));
  ASSERT_EQ(file->size(), 10000);
  file->will_need(0, file->size());
  file->drop(5000, 1000000);
  EXPECT_EQ(std::memcmp(file->data(), content.data(), content.size()), 0);
}

TEST(MappedFile, EmptyFileHasNoBytes) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(MappedFile::open(folder.write("empty", ""))->bytes().size(), 0U);
}

TEST(MappedFile, AbsentFileAndFolderAreInputErrors) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { MappedFile::open(folder.path() / "no"); }),
              HasSubstr("No such file"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { MappedFile::open(folder.path()); }),
              HasSubstr("not a regular file"));
}

TEST(MappedFile, AFileThatCannotBeMappedIsAnInputError) {
  // Kernel attributes are regular files of 4096 bytes that can be read but not mapped.
  const std::filesystem::path attribute = "/sys/devices/system/cpu/online";
  std::error_code failure;
  if (std::filesystem::file_size(attribute, failure) == 0 || failure) {
    GTEST_SKIP() << "no " << attribute << " here";
  }
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { MappedFile::open(attribute); }),
              HasSubstr(attribute.string() + ": cannot map: No such device"));
}

TEST(MappedFile, APipeIsRefusedRatherThanWaitedFor) {
  const test::TemporaryFolder folder;
  const auto pipe = folder.path() / "model.safetensors";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { MappedFile::open(pipe); }),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace prune
