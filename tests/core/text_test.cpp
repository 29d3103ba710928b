#include <prune/core/json_file.h>
#include <prune/core/nearest.h>
#include <prune/core/sha256.h>
#include <prune/core/tensor.h>

#include "support.h"

namespace prune {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(NearestWord, FindsATypoAndKeepsSilentOtherwise) {
  const std::vector<std::string> known = {"opt-125m", "opt-66b", "bloom"};
  EXPECT_EQ(nearest_word("otp-66b", known), "opt-66b");
  EXPECT_EQ(nearest_word("blom", known), "bloom");
  EXPECT_EQ(nearest_word("gpt-neox-20b", known), "");
}

TEST(Sha256, KnownVector) {
  const std::string text = "abc";
  EXPECT_EQ(sha256_hex(std::as_bytes(std::span(text))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, OfAFileOfSeveralPieces) {
  const test::TemporaryFolder folder;
  const std::string text(3'000'000, 'x');
  EXPECT_EQ(sha256_of_file(folder.write("file", text)), sha256_hex(std::as_bytes(std::span(text))));
  EXPECT_THAT(test::error_of(ErrorKind::kInput, [&] { sha256_of_file(folder.path() / "none"); }),
              testing::HasSubstr("none: cannot open"));
}

TEST(Names, OfShapesDtypesAndSizes) {
  EXPECT_EQ(shape_string({2, 3}), "[2, 3]");
  EXPECT_EQ(shape_string({}), "[]");
  EXPECT_EQ(dtype_name(at::kBFloat16), "bfloat16");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(3LL << 29), "1.50 GiB");
}

TEST(JsonFile, ErrorsNameFileAndPlace) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("config.json", "{\"a\": 1,\n oops}");
  const std::string message = error_of(ErrorKind::kInput, [&] { read_json(path); });
  EXPECT_THAT(message, HasSubstr("config.json: not valid JSON: parse error at line 2, column"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_json(folder.path()); }), HasSubstr("folder"));
}

TEST(JsonFile, RequiredAndOptionalKeys) {
  const json object = {{"n", 3}, {"none", nullptr}};
  EXPECT_EQ(require<int>(object, "n"), 3);
  EXPECT_EQ(value_or(object, "none", 5), 5);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { require<int>(object, "none"); }),
              HasSubstr("'none'"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { require<std::string>(object, "n"); }),
              HasSubstr("wrong type: 3"));
}

}  // namespace
}  // namespace prune
