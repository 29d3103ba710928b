#include <prune/checkpoint/checkpoint.h>

#include "checkpoint/make_safetensors.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using test::safetensors_bytes;
using testing::AllOf;
using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  std::unique_ptr<TensorFile> open(const std::string& bytes) {
    return open_safetensors(folder_.write("a b é.safetensors", bytes));
  }
  std::string fault(const std::string& bytes) {
    const std::string message = error_of(ErrorKind::kInput, [&] { open(bytes); });
    EXPECT_THAT(message, HasSubstr("a b é.safetensors: "));
    return message;
  }
  std::string fault(const std::string& header, const std::string& data) {
    return fault(safetensors_bytes(header, data));
  }
  /// Error message for a tensor 'w' with this header entry.
  std::string entry_fault(const std::string& entry) {
    return fault(R"({"w":)" + entry + "}", "12345678");
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(Safetensors, ReadsWhatTheHeaderSays) {
  const auto file =
      open(safetensors_bytes(R"({"b":{"dtype":"I32","shape":[2],"data_offsets":[8,16],"extra":1},)"
                             R"("__metadata__":{"format":"pt"},)"
                             R"("a":{"data_offsets":[0,8],"shape":[1,2],"dtype":"F32"},)"
                             R"("none":{"dtype":"F16","shape":[0,3],"data_offsets":[16,16]},)"
                             R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[16,17]}}  )",
                             test::bytes_of(1.5F) + test::bytes_of(-2.0F) + test::bytes_of(7) +
                                 test::bytes_of(-8) + "\5"));
  ASSERT_EQ(file->tensors().size(), 4U);
  EXPECT_EQ(file->tensors()[0].name, "a") << "data order, not header order";
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(file->tensors()[0].size_bytes, 8);
  EXPECT_TRUE(at::equal(file->load(0), at::tensor({1.5F, -2.0F}).view({1, 2})));
  EXPECT_TRUE(at::equal(file->load(1), at::tensor({7, -8}, at::kInt)));
  EXPECT_EQ(file->load(2).sizes(), (at::IntArrayRef{0, 3}));
  EXPECT_EQ(file->load(3).item<int64_t>(), 5);
}

TEST_F(Safetensors, TensorsOutliveTheFile) {
  auto file = open(safetensors_bytes(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                     test::bytes_of(3.0F)));
  const Tensor tensor = file->load(0);
  file->prefetch(0);
  file->drop(0);
  file.reset();
  EXPECT_EQ(tensor.item<float>(), 3.0F);
}

TEST_F(Safetensors, AlignedTensorsAreViewsAndOthersAreCopied) {
  const std::string entry = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string data = test::bytes_of(1.0F) + test::bytes_of(2.0F);
  for (size_t shift = 0; shift < 4; ++shift) {
    std::string header = entry;
    header.resize(64 + shift, ' ');
    const auto file = open(safetensors_bytes(header, data));
    const Tensor first = file->load(0);
    EXPECT_TRUE(at::equal(first, at::tensor({1.0F, 2.0F})));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first.const_data_ptr()) % 4, 0U);
    EXPECT_EQ(first.const_data_ptr() == file->load(0).const_data_ptr(), shift == 0) << shift;
  }
}

TEST_F(Safetensors, FileWithoutTensorsIsEmpty) {
  EXPECT_TRUE(open(safetensors_bytes("{}", ""))->tensors().empty());
}

// A quadratic algorithm would take minutes.
TEST_F(Safetensors, ManyTensorsTakeLittleTime) {
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                          i == 0 ? "" : ",", i);
  }
  EXPECT_EQ(open(safetensors_bytes(header + "}", ""))->tensors().size(), 200'000U);
}

TEST_F(Safetensors, BrokenBeginnings) {
  EXPECT_THAT(fault(""), HasSubstr("is empty"));
  EXPECT_THAT(fault("1234567"), HasSubstr("has 7 bytes"));
  EXPECT_THAT(fault(test::bytes_of(uint64_t{100'000'001}) + "{}"), HasSubstr("over the limit"));
  EXPECT_THAT(fault(test::bytes_of(~uint64_t{0}) + "{}"), HasSubstr("over the limit"));
  EXPECT_THAT(fault(test::bytes_of(uint64_t{3}) + "{}"),
              HasSubstr("header ends at byte 11, file has 10"));
  EXPECT_THAT(fault("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
              HasSubstr("git lfs pull"));
}

TEST_F(Safetensors, BrokenJson) {
  EXPECT_THAT(fault("", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault("{\n\"w\n", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault("{\"\xff\":1}", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault("[]", ""), HasSubstr("is not a JSON object"));
  EXPECT_THAT(fault("{} x", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault(std::string(100000, '['), ""), HasSubstr("nested deeper"));
  EXPECT_THAT(fault(R"({"__metadata__":{"n":1}})", ""), HasSubstr("'n' is not a string"));
  EXPECT_THAT(fault(R"({"__metadata__":"x"})", ""), HasSubstr("is not a JSON object"));
}

TEST_F(Safetensors, NameGivenTwice) {
  const std::string w = R"("w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  EXPECT_THAT(fault("{" + w + "," + w + "}", "12345678"), HasSubstr("'w' is given twice"));
  EXPECT_THAT(entry_fault(R"({"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]})"),
              HasSubstr("'dtype' is given twice"));
}

TEST_F(Safetensors, BrokenEntriesNameTheTensor) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(1)", "is not a JSON object"},
      {R"({"shape":[8],"data_offsets":[0,8]})", "has no dtype"},
      {R"({"dtype":"U8","data_offsets":[0,8]})", "has no shape"},
      {R"({"dtype":"U8","shape":[8]})", "has no data_offsets"},
      {R"({"dtype":"F4","shape":[8],"data_offsets":[0,8]})", "dtype 'F4' is not supported"},
      {R"({"dtype":3,"shape":[8],"data_offsets":[0,8]})", "dtype is not a string"},
      {R"({"dtype":"U8","shape":8,"data_offsets":[0,8]})", "shape is not a list"},
      {R"({"dtype":"U8","shape":[-8],"data_offsets":[0,8]})", "-8, which is not a valid size"},
      {R"({"dtype":"U8","shape":[8.0],"data_offsets":[0,8]})", "8.0, which is not a valid size"},
      {R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8]})",
       "is not a valid size"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[0,8,8]})", "is not a pair"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[-1,8]})", "-1, which is not a valid size"},
      {R"({"dtype":"U8","shape":[8],"data_offsets":[8,0]})",
       "begins at byte 8, after its end at 0"},
      {R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})", "ends at byte 9, file has 8"},
      {R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})", "[3] of float32 takes 12 bytes"},
      {R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})", "overflows"},
      {R"({"dtype":"U8","shape":[4294967296,4294967296,8],"data_offsets":[0,8]})", "overflows"},
      {R"({"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})", "overflows"},
  };
  for (const auto& [entry, reason] : cases) {
    EXPECT_THAT(entry_fault(entry), AllOf(HasSubstr("tensor 'w'"), HasSubstr(reason))) << entry;
  }
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_THAT(entry_fault(R"({"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]})"),
              HasSubstr("65 dimensions"));
}

TEST_F(Safetensors, EveryByteBelongsToOneTensor) {
  const auto two = [](int a0, int a1, int b0, int b1) {
    const auto entry = [](const char* name, int begin, int end) {
      return fmt::format(R"("{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}})", name,
                         end - begin, begin, end);
    };
    return "{" + entry("a", a0, a1) + "," + entry("b", b0, b1) + "}";
  };
  EXPECT_THAT(fault(two(0, 4, 5, 8), "12345678"),
              AllOf(HasSubstr("'b' begins at byte 5"), HasSubstr("ends at 4: a hole")));
  EXPECT_THAT(fault(two(0, 4, 3, 8), "12345678"), HasSubstr("ends at 4: they overlap"));
  EXPECT_THAT(fault(two(0, 8, 0, 8), "12345678"), HasSubstr("they overlap"));
  EXPECT_THAT(fault(two(1, 4, 4, 8), "12345678"), HasSubstr("a hole"));
  EXPECT_THAT(fault(two(0, 4, 4, 7), "12345678"), HasSubstr("1 bytes follow the last tensor"));
}

TEST_F(Safetensors, HostileNamesDoNotBreakTheLine) {
  const std::string message =
      fault(R"({"a\n\u001b[31m":{"dtype":"?","shape":[],"data_offsets":[0,0]}})", "");
  EXPECT_THAT(message, HasSubstr(R"('a\x0a\x1b[31m')"));
}

// Changes each byte of a valid file: every variant must load or throw an Error, never crash.
TEST_F(Safetensors, AnyChangedByteIsSurvived) {
  const std::string good =
      safetensors_bytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]}})",
                        "12345678");
  test::TemporaryFolder folder;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char value : {'\0', '\x7f', '\xff', '9', '"', ']'}) {
      std::string bytes = good;
      bytes[i] = value;
      try {
        const auto file = open_safetensors(folder.write("f", bytes));
        for (size_t t = 0; t < file->tensors().size(); ++t) file->load(t).to(at::kFloat).sum();
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      }
    }
    EXPECT_THROW(open_safetensors(folder.write("f", good.substr(0, i))), Error) << "cut at " << i;
  }
}

}  // namespace
}  // namespace prune::checkpoint
