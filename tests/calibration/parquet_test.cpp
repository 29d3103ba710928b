// Reads rows written by pyarrow (scripts/golden/parquet.py).
#include <prune/calibration/text_source.h>

#include "support.h"

namespace prune::calibration {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TextFile rows(const std::string& field) {
  return {.name = "rows", .path = test::golden() / "calibration/rows.parquet", .field = field};
}

std::string load_error(const TextFile& file) {
  return error_of(ErrorKind::kInput, [&] { load_text(file); });
}

TEST(Parquet, RowsAreDocuments) {
  const TextSource source = load_text(rows("text"));
  EXPECT_EQ(source.name, "rows");
  EXPECT_FALSE(source.whole_text);
  EXPECT_THAT(source.documents, ElementsAre("", " = Title = \n", " Été , naïve 😀 日本 \n", "",
                                            "one", "one", " two \n\n", "end"));
}

TEST(Parquet, ASeparatorMakesOneTextOfThem) {
  TextFile file = rows("text");
  file.separator = "\n\n";
  const TextSource source = load_text(file);
  EXPECT_TRUE(source.whole_text);
  EXPECT_THAT(source.documents,
              ElementsAre("\n\n = Title = \n\n\n Été , naïve 😀 日本 \n\n\n\n\none\n\none\n\n"
                          " two \n\n\n\nend"));
}

TEST(Parquet, OtherColumnsByName) {
  EXPECT_THAT(load_text(rows("sentence")).documents,
              ElementsAre("row 0", "row 1", "row 2", "row 3", "row 4", "row 5", "row 6", "row 7"));
}

TEST(Parquet, SaysWhatCannotBeRead) {
  EXPECT_THAT(load_error(rows("txt")), AllOf(HasSubstr("rows.parquet: has no column 'txt'"),
                                             HasSubstr("number, text, sentence, holes")));
  EXPECT_THAT(load_error(rows("number")), HasSubstr("column 'number' holds int64, not strings"));
  EXPECT_THAT(load_error(rows("holes")), HasSubstr("rows.parquet: row 4 holds null"));
  const test::TemporaryFolder folder;
  EXPECT_THAT(load_error({.name = "x", .path = folder.write("a.parquet", "no Parquet at all")}),
              HasSubstr("a.parquet: cannot read as Parquet: "));
  EXPECT_THAT(load_error({.name = "x", .path = folder.write("empty.parquet", "")}),
              HasSubstr("empty.parquet: cannot read as Parquet: "));
  EXPECT_THAT(load_error({.name = "x", .path = folder.path() / "absent.parquet"}),
              HasSubstr("absent.parquet: cannot read as Parquet: "));
}

TEST(Parquet, SeesThatAFileIsDamaged) {
  std::ifstream stream(rows("text").path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  const test::TemporaryFolder folder;
  for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{8}}) {
    EXPECT_THAT(
        load_error({.name = "x", .path = folder.write("cut.parquet", whole.substr(0, size))}),
        HasSubstr("cut.parquet: cannot read as Parquet: "));
  }
  std::string broken = whole;
  std::fill(broken.begin() + 8, broken.begin() + 300, '\xA5');
  EXPECT_THAT(load_error({.name = "x", .path = folder.write("broken.parquet", broken)}),
              HasSubstr("broken.parquet: cannot read as Parquet: "));
}

}  // namespace
}  // namespace prune::calibration
