#include "texts.h"

namespace prune::calibration {
namespace {

using namespace std::string_literals;
using test::error_of_load;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// "é😀\n" as Python's str.encode gives it, with the mark of codecs.BOM_*.
const std::vector<std::pair<std::string, std::string>> kMarked = {
    {"UTF-8 with BOM", "\xEF\xBB\xBF\xC3\xA9\xF0\x9F\x98\x80\n"s},
    {"UTF-16LE", "\xFF\xFE\xE9\0\x3D\xD8\0\xDE\n\0"s},
    {"UTF-16BE", "\xFE\xFF\0\xE9\xD8\x3D\xDE\0\0\n"s},
    {"UTF-32LE", "\xFF\xFE\0\0\xE9\0\0\0\0\xF6\x01\0\n\0\0\0"s},
    {"UTF-32BE", "\0\0\xFE\xFF\0\0\0\xE9\0\x01\xF6\0\0\0\0\n"s}};

TEST(Encoding, AByteOrderMarkTellsIt) {
  const TemporaryFolder folder;
  for (const auto& [name, content] : kMarked) {
    SCOPED_TRACE(name);
    const TextSource source = load_text(folder.write("a.txt", content));
    EXPECT_THAT(source.documents, ElementsAre("é😀\n"));
    EXPECT_EQ(source.about.encoding, name);
  }
  EXPECT_EQ(load_text(folder.write("a.txt", "é")).about.encoding, "UTF-8");
}

TEST(Encoding, RowsMayHaveAByteOrderMark) {
  const TemporaryFolder folder;
  EXPECT_THAT(load_text(folder.write("a.jsonl", "\xEF\xBB\xBF{\"text\": \"x\"}\n")).documents,
              ElementsAre("x"));
  std::string wide = "\xFF\xFE";
  for (const char c : "{\"text\": \"x\"}\n{\"text\": \"y\"}"s) wide += {c, '\0'};
  EXPECT_THAT(load_text(folder.write("a.jsonl", wide)).documents, ElementsAre("x", "y"));
}

TEST(Encoding, OtherBytesAreNamedByLineAndOffset) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of_load(folder.write("a.txt", "one\ntwo \xE9t\xE9\n")),
              AllOf(HasSubstr("a.txt:2: byte 0xE9 at offset 8 is not UTF-8"), HasSubstr("iconv")));
  EXPECT_THAT(error_of_load(folder.write("a.txt", "\xEF\xBB\xBFone\xE2\x82")),
              HasSubstr("a.txt:1: byte 0xE2 at offset 6 is not UTF-8"));
  EXPECT_THAT(error_of_load(folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"\xC3\"}\n")),
              HasSubstr("a.jsonl:2: byte 0xC3 at offset 24 is not UTF-8"));
  EXPECT_THAT(error_of_load(folder.write("a.json", "[{\"text\": \"x\"},\n{\"text\": \"\xFF\"}]")),
              HasSubstr("a.json:2: byte 0xFF at offset 26 is not UTF-8"));
}

TEST(Encoding, WideTextNeedsAByteOrderMark) {
  const TemporaryFolder folder;
  for (const std::string& content : {"x\0y\0"s, "\0x\0y"s, "\0\0\0x"s}) {
    EXPECT_THAT(error_of_load(folder.write("a.txt", content)),
                HasSubstr("a.txt:1: one of its first two bytes is zero"));
  }
}

TEST(Encoding, BrokenWideTextIsNamedByLineAndOffset) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of_load(folder.write("a.txt", "\xFF\xFEx\0\n\0y\0z"s)),
              HasSubstr("a.txt: line 2, byte 8: an incomplete character in UTF-16LE"));
  EXPECT_THAT(error_of_load(folder.write("a.txt", "\xFF\xFE\x3D\xD8y\0"s)),
              HasSubstr("a.txt: line 1, byte 2: half a surrogate pair in UTF-16LE"));
  EXPECT_THAT(error_of_load(folder.write("a.txt", "\0\0\xFE\xFF\0\x11\0\0"s)),
              HasSubstr("a number beyond Unicode in UTF-32BE"));
}

}  // namespace
}  // namespace prune::calibration
