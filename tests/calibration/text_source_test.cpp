#include <prune/calibration/text_source.h>
#include <zlib.h>

#include "support.h"

namespace prune::calibration {
namespace {

using test::error_of;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::filesystem::path write_gzip(const TemporaryFolder& folder, const std::string& name,
                                 const std::string& content) {
  const std::filesystem::path path = folder.path() / name;
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
  gzclose(file);
  return path;
}

std::string load_error(const std::filesystem::path& path) {
  return error_of(ErrorKind::kInput, [&] { load_text(path); });
}

TEST(TextSource, ReadsWholeTexts) {
  const TemporaryFolder folder;
  const std::string content = "one\n\ttwo\n\n";
  for (const char* name : {"a.txt", "a.raw", "a.md"}) {
    const TextSource source = load_text(folder.write(name, content));
    EXPECT_TRUE(source.whole_text);
    EXPECT_THAT(source.documents, ElementsAre(content));
    EXPECT_THAT(source.name, HasSubstr(name));
  }
  const TextSource zipped = load_text(write_gzip(folder, "a.txt.gz", content));
  EXPECT_TRUE(zipped.whole_text);
  EXPECT_THAT(zipped.documents, ElementsAre(content));
}

TEST(TextSource, ReadsLineEndsAsPythonsTextModeDoes) {
  const TemporaryFolder folder;
  const std::string content = "one\r\n\r\ntwo\rthree\n\r\r\n";
  const TextSource source = load_text(folder.write("a.txt", content));
  EXPECT_THAT(source.documents, ElementsAre("one\n\ntwo\nthree\n\n\n"));
}

TEST(TextSource, ReadsOneDocumentALine) {
  const TemporaryFolder folder;
  const std::string content =
      "{\"text\": \"one\\n\\u00e9\", \"url\": \"x\"}\n\n{\"text\":\"two\"}\r\n{\"text\": \"\"}";
  const auto are_right = ElementsAre("one\n\xC3\xA9", "two", "");
  for (const char* name : {"a.jsonl", "a.json"}) {
    const TextSource source = load_text(folder.write(name, content));
    EXPECT_FALSE(source.whole_text);
    EXPECT_THAT(source.documents, are_right);
  }
  EXPECT_THAT(load_text(write_gzip(folder, "a.json.gz", content)).documents, are_right);
}

TEST(TextSource, ADataSetsRuleNamesFieldAndSeparator) {
  const TemporaryFolder folder;
  TextFile file{.name = "set",
                .path = folder.write("a.jsonl", R"({"sentence": "one"})"
                                                "\n"
                                                R"({"sentence": ""})"
                                                "\n"
                                                R"({"sentence": "two"})"),
                .field = "sentence"};
  EXPECT_THAT(load_text(file).documents, ElementsAre("one", "", "two"));
  file.separator = " ";
  const TextSource source = load_text(file);
  EXPECT_THAT(source.documents, ElementsAre("one  two"));
  EXPECT_TRUE(source.whole_text);
  EXPECT_EQ(source.name, "set");
  file.field = "text";
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { load_text(file); }),
              HasSubstr("a.jsonl:1: key 'text' is missing"));
}

TEST(TextSource, ReadsLinesLongerThanItsBuffer) {
  const TemporaryFolder folder;
  const std::string text(3'000'000, 'x');
  const std::string line = "{\"text\": \"" + text + "\"}\n";
  const TextSource source = load_text(write_gzip(folder, "a.jsonl.gz", line + line));
  EXPECT_THAT(source.documents, ElementsAre(text, text));
}

TEST(TextSource, ReadsGzipFilesOfSeveralMembers) {
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

TEST(TextSource, ReplacesBytesThatAreNotUtf8) {
  const TemporaryFolder folder;
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_THAT(load_text(folder.write("a.txt",
                                     "a\xFF"
                                     "b\xE2\x82"))
                  .documents,
              ElementsAre("a" + mark + "b" + mark));
  EXPECT_THAT(load_text(folder.write("a.jsonl", "{\"text\": \"a\xC3\"}")).documents,
              ElementsAre("a" + mark));
}

TEST(TextSource, NamesFileAndLineOfWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string good = "{\"text\": \"x\"}\n";
  EXPECT_THAT(load_error(folder.write("a.jsonl", good + "{\"text\": ")),
              AllOf(HasSubstr("a.jsonl:2: "), HasSubstr("not valid JSON")));
  EXPECT_THAT(load_error(folder.write("b.jsonl", good + good + "{\"txt\": \"x\"}\n")),
              HasSubstr("b.jsonl:3: key 'text' is missing"));
  EXPECT_THAT(load_error(folder.write("c.jsonl", "{\"text\": 3}")),
              HasSubstr("c.jsonl:1: key 'text' has the wrong type"));
  EXPECT_THAT(load_error(folder.write("d.jsonl", "[1]")), HasSubstr("d.jsonl:1: "));
  EXPECT_THAT(load_error(folder.path() / "absent.txt"), HasSubstr("absent.txt: cannot open"));
  EXPECT_THAT(load_error(folder.write("a.doc", "x")),
              AllOf(HasSubstr("'.doc' is not known"), HasSubstr(".jsonl")));
  EXPECT_THAT(load_error(folder.write("empty.txt", "")), HasSubstr("no text"));
  EXPECT_THAT(load_error(folder.write("empty.jsonl", "\n\n")), HasSubstr("no text"));
  std::filesystem::create_directory(folder.path() / "folder.txt");
  EXPECT_THAT(load_error(folder.path() / "folder.txt"), HasSubstr("is a folder"));
}

TEST(TextSource, AGzipFileOfOneByteOverAndOverIsNoText) {
  const TemporaryFolder folder;
  const std::string zeros(size_t{70} << 20, '0');
  EXPECT_THAT(load_error(write_gzip(folder, "bomb.txt.gz", zeros)),
              AllOf(HasSubstr("bomb.txt.gz: "), HasSubstr("compressed bytes expand to")));
  EXPECT_THAT(load_error(write_gzip(folder, "bomb.jsonl.gz", zeros)), HasSubstr("expand to"));
  EXPECT_EQ(load_text(folder.write("plain.txt", zeros)).documents.front().size(), zeros.size());
}

TEST(TextSource, ALineThatNestsDeeplyIsNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(load_error(folder.write("a.jsonl", "{\"text\": " + std::string(100'000, '['))),
              HasSubstr("a.jsonl:1: JSON is nested deeper"));
}

TEST(TextSource, SeesThatAGzipFileBreaksOff) {
  const TemporaryFolder folder;
  std::string varied;
  for (int i = 0; i < 20000; ++i) varied += std::to_string(i * 7919) + "\n";
  const std::filesystem::path path = write_gzip(folder, "a.txt.gz", varied);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT(load_error(path), AllOf(HasSubstr("a.txt.gz"), HasSubstr("cannot read")));
  EXPECT_THAT(load_error(folder.write("b.txt.gz", std::string("\x1F\x8B\x08\x00garbage", 11))),
              HasSubstr("b.txt.gz: cannot read"));
}

}  // namespace
}  // namespace prune::calibration
