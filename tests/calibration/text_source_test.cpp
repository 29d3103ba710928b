#include <sys/stat.h>

#include <thread>

#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of_load;
using test::TemporaryFolder;
using test::write_gzip;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(TextSource, ReadsWholeTexts) {
  const TemporaryFolder folder;
  const std::string content = "one\n\ttwo\n\n";
  for (const char* name : {"a.txt", "a.raw", "a.md"}) {
    const TextSource source = load_text(folder.write(name, content));
    EXPECT_TRUE(source.whole_text);
    EXPECT_THAT(source.documents, ElementsAre(content));
    EXPECT_THAT(source.about.name, HasSubstr(name));
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

TEST(TextSource, ADataSetsRuleNamesFieldSeparatorAndLimits) {
  const TemporaryFolder folder;
  TextFile file{.name = "set",
                .path = folder.write("a.jsonl", R"({"sentence": "one"})"
                                                "\n"
                                                R"({"sentence": ""})"
                                                "\n"
                                                R"({"sentence": "two"})"),
                .field = "sentence"};
  file.separator = " ";
  file.rows = 2;
  file.segments = 7;
  const TextSource source = load_text(file);
  EXPECT_THAT(source.documents, ElementsAre("one", ""));
  EXPECT_FALSE(source.whole_text);
  EXPECT_EQ(source.about.name, "set");
  EXPECT_EQ(source.about.rows_cut, 1);
  EXPECT_EQ(source.about.empty_rows, 1);
  EXPECT_EQ(source.separator, " ");
  EXPECT_EQ(source.segments, 7);
  file.field = "text";
  EXPECT_THAT(error_of_load(file), HasSubstr("a.jsonl:1: key 'text' is missing"));
}

TEST(TextSource, ReadsLinesLongerThanItsBuffer) {
  const TemporaryFolder folder;
  const std::string text(3'000'000, 'x');
  const std::string line = "{\"text\": \"" + text + "\"}\n";
  const TextSource source = load_text(write_gzip(folder, "a.jsonl.gz", line + line));
  EXPECT_THAT(source.documents, ElementsAre(text, text));
}

TEST(TextSource, CountsWhatItSkipsAndReplaces) {
  const TemporaryFolder folder;
  const TextSource text = load_text(folder.write("a.TXT", "a\r\nb\rc\n"));
  EXPECT_EQ(text.about.kind, "text");
  EXPECT_EQ(text.about.line_ends_replaced, 2);
  const TextSource rows = load_text(folder.write(
      "a.JSONL", "\n{\"text\": \"x\"}\n  \n{\"text\": null}\nnull\n{\"text\": \"\"}\n"));
  EXPECT_THAT(rows.documents, ElementsAre("x", ""));
  EXPECT_EQ(rows.about.kind, "JSON rows");
  EXPECT_EQ(rows.about.field, "text");
  EXPECT_EQ(rows.about.rows, 2);
  EXPECT_EQ(rows.about.blank_lines, 2);
  EXPECT_EQ(rows.about.null_rows, 2);
  EXPECT_EQ(rows.about.empty_rows, 1);
  EXPECT_THAT(rows.about.guesses, testing::IsEmpty());
}

TEST(TextSource, NamesTheTextsInAFolder) {
  const TemporaryFolder folder;
  folder.write("set/b.jsonl", "x");
  folder.write("set/a.txt.zst", "x");
  folder.write("set/README", "x");
  EXPECT_THAT(error_of_load(folder.path() / "set"),
              HasSubstr("set: is a folder, not a file; name one of its texts: a.txt.zst, b.jsonl"));
  for (int i = 0; i < 5; ++i) folder.write("set/c" + std::to_string(i) + ".parquet", "x");
  EXPECT_THAT(error_of_load(folder.path() / "set"), HasSubstr("c2.parquet and 2 more"));
  std::filesystem::create_directory(folder.path() / "empty.txt");
  EXPECT_THAT(error_of_load(folder.path() / "empty.txt"), HasSubstr("it holds no text"));
}

TEST(TextSource, APipeNeedsNoExtension) {
  const TemporaryFolder folder;
  const auto piped = [&](const std::string& name, const std::string& content) {
    const std::filesystem::path path = folder.path() / name;
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    std::thread writer([&] { std::ofstream(path, std::ios::binary) << content; });
    const TextSource source = load_text(path);
    writer.join();
    return source;
  };
  const TextSource rows = piped("rows", " \n{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  EXPECT_THAT(rows.documents, ElementsAre("one", "two"));
  EXPECT_THAT(rows.about.guesses, ElementsAre("starts with '{' and is read as JSON rows"));
  const TextSource text = piped("text", test::zstd_frame("one {two}"));
  EXPECT_THAT(text.documents, ElementsAre("one {two}"));
  EXPECT_EQ(text.about.compression, "zstd");
  EXPECT_THAT(text.about.guesses, ElementsAre("is read as one text"));
  EXPECT_THAT(piped("known.jsonl", "\"one\"\n").about.guesses, testing::IsEmpty());
  EXPECT_THAT(piped("array", "[\"one\"]").documents, ElementsAre("one"));
}

TEST(TextSource, ParquetNeedsAFile) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path, std::ios::binary) << "PAR1 and so on"; });
  EXPECT_THAT(error_of_load(path), HasSubstr("pipe: Parquet cannot be read from a pipe"));
  writer.join();
}

TEST(TextSource, NamesFileAndLineOfWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string good = "{\"text\": \"x\"}\n";
  EXPECT_THAT(error_of_load(folder.write("a.jsonl", good + "{\"text\": ")),
              AllOf(HasSubstr("a.jsonl:2: "), HasSubstr("not valid JSON")));
  EXPECT_THAT(error_of_load(folder.write("b.jsonl", good + good + "{\"txt\": \"x\"}\n")),
              HasSubstr("b.jsonl:3: key 'text' is missing"));
  EXPECT_THAT(error_of_load(folder.write("c.jsonl", "{\"text\": 3}")),
              HasSubstr("c.jsonl:1: key 'text' has the wrong type"));
  EXPECT_THAT(error_of_load(folder.write("d.jsonl", "[1]")), HasSubstr("d.jsonl:1: "));
  EXPECT_THAT(error_of_load(folder.path() / "absent.txt"), HasSubstr("absent.txt: cannot open"));
  EXPECT_THAT(error_of_load(folder.write("a.doc", "x")),
              AllOf(HasSubstr("'.doc' is not known"), HasSubstr(".jsonl"), HasSubstr(".zst"),
                    HasSubstr(".parquet")));
  EXPECT_THAT(error_of_load(folder.write("empty.txt", "")), HasSubstr("no text"));
  EXPECT_THAT(error_of_load(folder.write("empty.jsonl", "\n\n")), HasSubstr("no text"));
}

TEST(TextSource, ALineThatNestsDeeplyIsNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of_load(folder.write("a.jsonl", "{\"text\": " + std::string(100'000, '['))),
              HasSubstr("a.jsonl:1: JSON is nested deeper"));
}

}  // namespace
}  // namespace prune::calibration
