#include <prune/core/json_file.h>
#include <prune/core/nearest.h>
#include <prune/core/sha256.h>
#include <prune/core/tensor.h>
#include <sys/stat.h>

#include <cmath>
#include <limits>

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
  EXPECT_EQ(did_you_mean("blom", known, "models/"), "; did you mean 'models/bloom'?");
  EXPECT_EQ(did_you_mean("gpt-neox-20b", known), "");
}

TEST(NearestWord, LongNamesFromFilesTakeNoTime) {
  // The table of edit distances for a single one of these pairs would have 10^11 entries.
  const std::vector<std::string> known(1000, std::string(100'000, 'y'));
  EXPECT_EQ(nearest_word(std::string(1'000'000, 'x'), known), "");
  EXPECT_EQ(nearest_word("fc1.weight", known), "");
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

TEST(JsonFile, OnlyRegularFilesAreRead) {
  const test::TemporaryFolder folder;
  const auto pipe = folder.path() / "config.json";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_json(pipe); }),
              HasSubstr("config.json: not a regular file"));
  const auto endless = folder.path() / "link.json";
  std::filesystem::create_symlink("/dev/zero", endless);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_json(endless); }),
              HasSubstr("not a regular file"));
  const auto large = folder.write("large.json", "{}");
  std::filesystem::resize_file(large, int64_t{1} << 40);  // sparse: takes no disk space
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_json(large); }),
              HasSubstr("has 1099511627776 bytes, the limit is"));
}

TEST(JsonFile, NestingAndSizeHaveLimits) {
  const auto fault = [](const std::string& text) {
    return error_of(ErrorKind::kInput, [&] { parse_json(text); });
  };
  EXPECT_THAT(fault(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64 levels"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
  EXPECT_THAT(fault(deep), HasSubstr("nested deeper than 64 levels"));
  std::string many = "[";
  for (int i = 0; i < 9'000'000; ++i) many += "0,";
  EXPECT_THAT(fault(many + "0]"), HasSubstr("more than 8388608 values"));
  EXPECT_EQ(parse_json(std::string(64, '[') + std::string(64, ']')).size(), 1U);
  // Brackets in a string are not nesting, even after an escaped quote.
  const std::string quoted = R"({"a\"[":")" + std::string(100, '[') + R"(\\","b":[1]})";
  EXPECT_EQ(parse_json(quoted).at("b").size(), 1U);
}

TEST(JsonFile, UniqueNamesAreCheckedWithinEachObject) {
  const std::string text = R"({"a": {"b": [1, -2, 2.5, "x", [], {}, null, true, [[3]]], "a": {}},
                               "c": [{"a": 1}, {"a": {"b": 18446744073709551615}}], "": false})";
  EXPECT_EQ(parse_json(text, /*unique_names=*/true), json::parse(text));
  EXPECT_EQ(parse_json(" 7 ", /*unique_names=*/true), json(7));
  const auto fault = [](const std::string& broken) {
    return error_of(ErrorKind::kInput, [&] { parse_json(broken, /*unique_names=*/true); });
  };
  EXPECT_EQ(fault(R"([{"a": 1, "b": {"a": 2}, "a": 3}])"), "'a' is given twice");
  for (const char* broken : {"{\"a\": 1,\n oops}", "", "[1,", "{\"a\" 1}", "[] []"}) {
    EXPECT_EQ(fault(broken), error_of(ErrorKind::kInput, [&] { parse_json(broken); })) << broken;
  }
}

TEST(JsonFile, ReadsWhatPythonReads) {
  const json value = parse_json(
      R"({"a": NaN, "b": [-Infinity, Infinity, 1e400, -1e400, 1e-400], "c": "NaN \" Infinity", "\ud800": "x\udc00y\ud83d\ude00"})");
  EXPECT_TRUE(std::isnan(value.at("a").get<double>()));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(value.at("b").get<std::vector<double>>(),
            (std::vector<double>{-kInfinity, kInfinity, kInfinity, -kInfinity, 0.0}));
  EXPECT_EQ(value.at("c"), "NaN \" Infinity");
  EXPECT_EQ(value.at("\ufffd"), "x\ufffdy\U0001f600");
  EXPECT_THAT(error_of(ErrorKind::kInput, [] { parse_json(R"({"a": NaN, "b": Nan})"); }),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [] { parse_json(R"({"a": NaN, "a": 1})", true); }),
              HasSubstr("'a' is given twice"));
}

TEST(JsonFile, EditingKeepsTheSequenceOfKeysAndPythonsNumbers) {
  EXPECT_EQ(edited_json(R"({"z": NaN, "drop": 1, "a": [Infinity, 1e400], "m": 2})",
                        {{"new", {1}}, {"m", false}}, {"drop", "absent"}),
            "{\n  \"z\": NaN,\n  \"a\": [\n    Infinity,\n    Infinity\n  ],\n  \"m\": false,\n"
            "  \"new\": [\n    1\n  ]\n}\n");
  EXPECT_EQ(edited_json(R"({"a": {"z": 1, "b": 2}, "z": 3})", json::object(), {"a/z", "a/none"}),
            "{\n  \"a\": {\n    \"b\": 2\n  },\n  \"z\": 3\n}\n");
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

TEST(JsonFile, NumbersThatTheTypeCannotHoldAreNotBentToFit) {
  const json object = json::parse(R"({"huge": 1e300, "half": 0.5, "wide": 18446744073709551615,
                                      "minus": -1, "int": 4294967296})");
  for (const char* key : {"huge", "half", "wide"}) {
    EXPECT_THAT(error_of(ErrorKind::kInput, [&] { require<int64_t>(object, key); }),
                HasSubstr("has the wrong type"))
        << key;
  }
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { require<uint64_t>(object, "minus"); }),
              HasSubstr("wrong type: -1"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { require<int32_t>(object, "int"); }),
              HasSubstr("wrong type: 4294967296"));
  EXPECT_EQ(require<uint64_t>(object, "wide"), ~uint64_t{0});
  EXPECT_EQ(require<double>(object, "minus"), -1.0);
}

}  // namespace
}  // namespace prune
