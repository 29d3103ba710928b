// Reads rows written by pyarrow (scripts/golden/parquet.py).
#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of_load;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TextFile rows(const std::string& field) {
  return {.name = "rows", .path = test::golden() / "calibration/rows.parquet", .field = field};
}

TextFile columns(const std::optional<std::string>& field) {
  return {
      .name = "columns", .path = test::golden() / "calibration/columns.parquet", .field = field};
}

TEST(Parquet, RowsAreDocuments) {
  const TextSource source = load_text(rows("text"));
  EXPECT_EQ(source.about.name, "rows");
  EXPECT_FALSE(source.whole_text);
  EXPECT_THAT(source.documents, ElementsAre("", " = Title = \n", " Été , naïve 😀 日本 \n", "",
                                            "one", "one", " two \n\n", "end"));
}

TEST(Parquet, EveryTypeOfColumnThatHoldsText) {
  for (const char* name : {"content", "dictionary", "binary", "large_binary", "large_string",
                           "string_view", "binary_view", "page.body.text"}) {
    SCOPED_TRACE(name);
    const TextSource source = load_text(columns(name));
    EXPECT_THAT(source.documents, ElementsAre("", "Été 😀", "one", "one", "end"));
    EXPECT_EQ(source.about.null_rows, 2);
    EXPECT_EQ(source.about.empty_rows, 1);
    EXPECT_EQ(source.about.field, name);
    EXPECT_EQ(source.about.kind, "Parquet rows");
  }
}

TEST(Parquet, ChatsComeBeforeContent) {
  EXPECT_THAT(error_of_load(columns({})),
              HasSubstr("columns.parquet: the rows are chats (messages with roles), but"));
}

TEST(Parquet, BytesThatAreNotUtf8AreNamedByRow) {
  EXPECT_THAT(
      error_of_load(columns("latin1")),
      HasSubstr("columns.parquet: row 2 (counted from 0): byte 0xC9 at offset 0 is not UTF-8"));
}

TEST(Parquet, OtherColumnsByName) {
  EXPECT_THAT(load_text(rows("sentence")).documents,
              ElementsAre("row 0", "row 1", "row 2", "row 3", "row 4", "row 5", "row 6", "row 7"));
}

TEST(Parquet, SaysWhatCannotBeRead) {
  EXPECT_THAT(error_of_load(rows("txt")),
              AllOf(HasSubstr("rows.parquet: key 'txt' is missing"),
                    HasSubstr("number, text, sentence, holes"), HasSubstr("--text-field")));
  EXPECT_THAT(error_of_load(rows("number")), HasSubstr("column 'number' holds int64, not text"));
  EXPECT_THAT(error_of_load(columns("messages")), HasSubstr("the rows are chats"));
  EXPECT_THAT(error_of_load(columns("page")), HasSubstr("column 'page' holds struct<"));
  EXPECT_THAT(error_of_load(columns("page.body.x")), HasSubstr("key 'page.body.x' is missing"));
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of_load({.name = "x", .path = folder.write("a.parquet", "no Parquet at all")}),
              HasSubstr("a.parquet: cannot read as Parquet: "));
  EXPECT_THAT(error_of_load({.name = "x", .path = folder.write("empty.parquet", "")}),
              HasSubstr("empty.parquet: cannot read as Parquet: "));
  EXPECT_THAT(error_of_load({.name = "x", .path = folder.path() / "absent.parquet"}),
              HasSubstr("absent.parquet: cannot read as Parquet: "));
}

TEST(Parquet, SeesThatAFileIsDamaged) {
  std::ifstream stream(rows("text").path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  const test::TemporaryFolder folder;
  for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{8}}) {
    EXPECT_THAT(
        error_of_load({.name = "x", .path = folder.write("cut.parquet", whole.substr(0, size))}),
        HasSubstr("cut.parquet: cannot read as Parquet: "));
  }
  std::string broken = whole;
  std::fill(broken.begin() + 8, broken.begin() + 300, '\xA5');
  EXPECT_THAT(error_of_load({.name = "x", .path = folder.write("broken.parquet", broken)}),
              HasSubstr("broken.parquet: cannot read as Parquet: "));
}

}  // namespace
}  // namespace prune::calibration
