#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of_load;
using test::TemporaryFolder;
using test::write_gzip;
using test::zstd_frame;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string varied_text() {
  std::string varied;
  for (int i = 0; i < 20000; ++i) varied += std::to_string(i * 7919) + "\n";
  return varied;
}

TEST(Compression, ReadsGzipFilesOfSeveralMembers) {
  const TemporaryFolder folder;
  const auto read = [](const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  const std::string first = read(write_gzip(folder, "a.gz", "{\"text\": \"one\"}\n"));
  const std::string second = read(write_gzip(folder, "b.gz", "{\"text\": \"two\"}\n"));
  EXPECT_THAT(load_text(folder.write("c.json.gz", first + second)).documents,
              ElementsAre("one", "two"));
}

TEST(Compression, AGzipFileOfOneByteOverAndOverIsNoText) {
  const TemporaryFolder folder;
  const std::string zeros(size_t{70} << 20, '0');
  EXPECT_THAT(error_of_load(write_gzip(folder, "bomb.txt.gz", zeros)),
              AllOf(HasSubstr("bomb.txt.gz: "), HasSubstr("compressed bytes expand to")));
  EXPECT_THAT(error_of_load(write_gzip(folder, "bomb.jsonl.gz", zeros)), HasSubstr("expand to"));
  EXPECT_EQ(load_text(folder.write("plain.txt", zeros)).documents.front().size(), zeros.size());
}

TEST(Compression, SeesThatAGzipFileBreaksOff) {
  const TemporaryFolder folder;
  std::string varied;
  for (int i = 0; i < 20000; ++i) varied += std::to_string(i * 7919) + "\n";
  const std::filesystem::path path = write_gzip(folder, "a.txt.gz", varied);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT(error_of_load(path), AllOf(HasSubstr("a.txt.gz"), HasSubstr("cannot read")));
  EXPECT_THAT(error_of_load(folder.write("b.txt.gz", std::string("\x1F\x8B\x08\x00garbage", 11))),
              HasSubstr("b.txt.gz: cannot read"));
}

TEST(Compression, ReadsZstdFilesOfSeveralFrames) {
  const TemporaryFolder folder;
  const std::string rows =
      zstd_frame("{\"text\": \"one\"}\n{\"te") + zstd_frame("xt\": \"two\"}\n");
  // pzstd puts the size of each frame into a skippable frame in front of it.
  const std::string skippable("\x50\x2A\x4D\x18\x04\0\0\0size", 12);
  for (const std::string& content : {rows, skippable + rows, rows + skippable}) {
    const TextSource source = load_text(folder.write("a.jsonl.zst", content));
    EXPECT_THAT(source.documents, ElementsAre("one", "two"));
    EXPECT_EQ(source.about.compression, "zstd");
  }
}

TEST(Compression, GoesByTheFirstBytesNotByTheName) {
  const TemporaryFolder folder;
  const std::string text = varied_text();
  for (const char* name : {"a.txt", "a.txt.gz", "a.TXT.ZST"}) {
    EXPECT_THAT(load_text(folder.write(name, zstd_frame(text))).documents, ElementsAre(text));
    const TextSource zipped = load_text(write_gzip(folder, name, text));
    EXPECT_THAT(zipped.documents, ElementsAre(text));
    EXPECT_EQ(zipped.about.compression, "gzip");
    const TextSource plain = load_text(folder.write(name, text));
    EXPECT_THAT(plain.documents, ElementsAre(text));
    EXPECT_EQ(plain.about.compression, "");
  }
}

TEST(Compression, NamesOnesThatItDoesNotRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of_load(folder.write("a.txt", std::string("\xFD"
                                                              "7zXZ\0data",
                                                              10))),
              HasSubstr("a.txt: is compressed with xz; unpack it"));
  EXPECT_THAT(error_of_load(folder.write("b.jsonl", "BZh91AY")), HasSubstr("bzip2"));
}

TEST(Compression, SeesThatAZstdFileBreaksOffOrIsCorrupt) {
  const TemporaryFolder folder;
  std::string packed = zstd_frame(varied_text());
  EXPECT_THAT(error_of_load(folder.write("a.txt", packed.substr(0, packed.size() / 2))),
              AllOf(HasSubstr("a.txt: cannot read: the zstd data breaks off"),
                    HasSubstr("the file is incomplete")));
  EXPECT_THAT(error_of_load(folder.write("a.txt", packed + "more")),
              HasSubstr("cannot read: zstd data is corrupt"));
  packed[packed.size() / 2] ^= '\x55';
  packed[packed.size() / 2 + 1] ^= '\x55';
  EXPECT_THAT(error_of_load(folder.write("a.txt", packed.substr(0, packed.size() - 9))),
              HasSubstr("a.txt: cannot read: "));
  const std::string zeros(size_t{70} << 20, '0');
  EXPECT_THAT(error_of_load(folder.write("bomb.txt", zstd_frame(zeros))),
              AllOf(HasSubstr("bomb.txt: "), HasSubstr("compressed bytes expand to")));
}

TEST(Compression, GzipMayEndInZerosButNotInOtherBytes) {
  const TemporaryFolder folder;
  std::ifstream stream(write_gzip(folder, "a.gz", "text"), std::ios::binary);
  const std::string packed(std::istreambuf_iterator<char>(stream), {});
  EXPECT_THAT(load_text(folder.write("b.txt", packed + std::string(512, '\0'))).documents,
              ElementsAre("text"));
  EXPECT_THAT(error_of_load(folder.write("c.txt", packed + "garbage behind it")),
              HasSubstr("c.txt: cannot read: gzip data is corrupt"));
}

}  // namespace
}  // namespace prune::calibration
