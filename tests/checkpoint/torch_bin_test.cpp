#include <prune/checkpoint/checkpoint.h>

#include <limits>

#include "checkpoint/make_torch_bin.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using test::torch_bin_bytes;
using test::zip_bytes;
using testing::AllOf;
using testing::HasSubstr;
namespace pickle = test::pickle;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

std::string four_floats() {
  std::string bytes;
  for (const float value : {1.0F, 2.0F, 3.0F, 4.0F}) bytes += test::bytes_of(value);
  return bytes;
}

class TorchBin : public testing::Test {
 protected:
  std::unique_ptr<TensorFile> open(const std::string& bytes) {
    return open_torch_bin(folder_.write("m.bin", bytes));
  }
  std::unique_ptr<TensorFile> open_pickle(const std::string& opcodes) {
    return open(torch_bin_bytes(opcodes, {{"0", four_floats()}}));
  }
  std::unique_ptr<TensorFile> open_tensor(const pickle::TensorCall& call) {
    return open_pickle(pickle::dict("w", pickle::tensor(call)));
  }
  std::string fault(const std::string& bytes) {
    const std::string message = error_of(ErrorKind::kInput, [&] { open(bytes); });
    EXPECT_THAT(message, HasSubstr("m.bin: "));
    return message;
  }
  std::string pickle_fault(const std::string& opcodes) {
    return fault(torch_bin_bytes(opcodes, {{"0", four_floats()}}));
  }
  std::string tensor_fault(const pickle::TensorCall& call) {
    const std::string message = pickle_fault(pickle::dict("w", pickle::tensor(call)));
    EXPECT_THAT(message, HasSubstr("tensor 'w'"));
    return message;
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(TorchBin, ReadsAHandMadeFile) {
  const auto file = open_tensor({.sizes = {2, 2}, .strides = {2, 1}});
  ASSERT_EQ(file->tensors().size(), 1U);
  EXPECT_EQ(file->tensors()[0].name, "w");
  EXPECT_TRUE(at::equal(file->load(0), at::tensor({1.0F, 2.0F, 3.0F, 4.0F}).view({2, 2})));
}

TEST_F(TorchBin, StridesAndOffsetsInsideTheStorage) {
  EXPECT_TRUE(
      at::equal(open_tensor({.offset = 2, .sizes = {2}})->load(0), at::tensor({3.0F, 4.0F})));
  EXPECT_TRUE(at::equal(open_tensor({.sizes = {2, 2}, .strides = {1, 2}})->load(0),
                        at::tensor({1.0F, 3.0F, 2.0F, 4.0F}).view({2, 2})));
  EXPECT_TRUE(at::equal(open_tensor({.offset = 1, .sizes = {2}, .strides = {2}})->load(0),
                        at::tensor({2.0F, 4.0F})));
  EXPECT_EQ(open_tensor({.sizes = {0}, .strides = {1}})->load(0).numel(), 0);
  EXPECT_EQ(open_tensor({.offset = 3, .sizes = {}, .strides = {}})->load(0).item<float>(), 4.0F);
}

TEST_F(TorchBin, TensorsThatLeaveTheirStorage) {
  const std::vector<pickle::TensorCall> calls = {
      {.sizes = {5}},
      {.offset = 1},
      {.offset = -1},
      {.sizes = {-1}},
      {.strides = {-1}},
      {.strides = {2}},
      {.sizes = {2, 2}, .strides = {3, 2}},
      {.sizes = {2, 2}, .strides = {1}},
      {.offset = kHuge},
      {.sizes = {kHuge}},
      {.sizes = {kHuge}, .strides = {kHuge}},
      {.strides = {kHuge}},
      {.offset = kHuge - 2, .sizes = {2}},
      {.sizes = {int64_t{1} << 32, int64_t{1} << 32}, .strides = {0, 0}},
      {.sizes = {0, int64_t{1} << 62, 4}, .strides = {0, 0, 0}},
  };
  for (const auto& call : calls) tensor_fault(call);
  EXPECT_THAT(tensor_fault({.sizes = {5}}), HasSubstr("exceed its storage of 16 bytes"));
}

TEST_F(TorchBin, FewBytesMayNotClaimTerabytes) {
  EXPECT_EQ(open_tensor({.sizes = {1000}, .strides = {0}})->load(0).sum().item<float>(), 1000.0F);
  EXPECT_THAT(tensor_fault({.sizes = {int64_t{1} << 40}, .strides = {0}}), HasSubstr("repeats"));
}

// Two bytes refer to an earlier value again; values that are copied at each use must be short.
TEST_F(TorchBin, OneLongValueInManyCallsIsRefused) {
  EXPECT_THAT(
      pickle_fault(pickle::dict("w", pickle::tensor({.sizes = std::vector<int64_t>(65, 1)}))),
      HasSubstr("65 numbers as the size of a tensor"));
  EXPECT_THAT(pickle_fault(pickle::dict("w", pickle::tensor({.key = std::string(257, 'k')}))),
              HasSubstr("storage key of 257 bytes"));
}

TEST_F(TorchBin, StoragesThatAreShortOrMissing) {
  EXPECT_THAT(tensor_fault({.count = 5}),
              HasSubstr("storage '0' of 5 elements of 4 bytes has only 16 bytes"));
  EXPECT_THAT(tensor_fault({.count = -1}), HasSubstr("storage '0'"));
  EXPECT_THAT(tensor_fault({.count = kHuge}), HasSubstr("storage '0'"));
  EXPECT_THAT(tensor_fault({.key = "../data.pkl"}), HasSubstr("'../data.pkl' is missing"));
  EXPECT_THAT(pickle_fault(pickle::dict("w", pickle::tensor({.type = "float32"}))),
              HasSubstr("pickle has 'torch float32' as the type of a storage"));
}

TEST_F(TorchBin, ForeignGlobalsAreNamedAndNeverCalled) {
  EXPECT_THAT(pickle_fault("\x80\x02" + pickle::global("posix", "system") + "."),
              HasSubstr("refuses to load 'posix system'"));
  EXPECT_THAT(pickle_fault("\x80\x02" + pickle::global("torch", "load") + "."),
              HasSubstr("refuses to load 'torch load'"));
  EXPECT_THAT(pickle_fault("\x80\x02" + pickle::global("os\x1b", "FloatStorage") + "."),
              HasSubstr(R"(refuses to load 'os\x1b FloatStorage')"));
  // Protocol 4 has a second opcode for globals: STACK_GLOBAL.
  EXPECT_THAT(pickle_fault("\x80\x04" + pickle::text("builtins") + pickle::text("eval") + "\x93."),
              HasSubstr("refuses to load 'builtins eval'"));
}

TEST_F(TorchBin, OpcodesOutsideTheList) {
  // INST, OBJ, NEWOBJ, EXT1, PERSID, DUP, STRING, PUT
  for (const char* opcode : {"i", "o", "\x81", "\x82", "P", "2", "S", "p"}) {
    EXPECT_THAT(pickle_fault(std::string("\x80\x02N") + opcode + "\n."),
                HasSubstr("does not occur in a state dict"));
  }
  EXPECT_THAT(pickle_fault("\x80\x05N."), HasSubstr("protocol 5"));
}

TEST_F(TorchBin, BrokenPickles) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "ends at byte 0"},
      {"\x80\x02}", "ends at byte 3"},
      {".", "stack is empty"},
      {"N0.", "does not occur"},
      {"(.", "stack is empty"},
      {"t.", "no mark"},
      {"\x86.", "stack is empty"},
      {"N(s.", "stack is empty"},
      {"NNa.", "None as a list"},
      {"}(Nu.", "a key but no value"},
      {"h\x05.", "the memo has no entry 5"},
      {"j\xff\xff\xff\xff.", "the memo has no entry 4294967295"},
      {"q\x01.", "stack is empty"},
      {"X\xff\xff\xff\xffw.", "4294967295 more needed"},
      {"\x8a\xffw.", "255 more needed"},
      {"ctorch", "ends at byte"},
      {"N)R.", "None as the callee"},
      {"NNR.", "None as"},
      {"NQ.", "None as a persistent id"},
      {"NNb.", "None as the object that gets attributes"},
      {")Q.", "a persistent id of 0 items"},
      {pickle::global("torch", "FloatStorage") + ")R.", "which a state dict never does"},
      {pickle::global("torch._utils", "_rebuild_tensor_v2") + ")R.", "with 0 arguments"},
      {pickle::global("torch._utils", "_rebuild_parameter") + "NNN\x87R.", "None as the data"},
      {pickle::global("torch._utils", "_rebuild_tensor_v2") + "(NNNNNNtR.", "None as the storage"},
      {"N.", "holds None, not a state dict"},
      {"}.", "holds no tensors"},
      {std::string(2000, '(') + ".", "nested deeper"},
      {"N" + std::string(100, '\x94') + ".", "the memo has more entries than there are values"},
  };
  for (const auto& [opcodes, reason] : cases) {
    EXPECT_THAT(pickle_fault(opcodes), HasSubstr(reason)) << testing::PrintToString(opcodes);
  }
}

TEST_F(TorchBin, DeepAndCircularPicklesNeedNoStack) {
  EXPECT_THAT(pickle_fault(")" + std::string(1000000, '\x85') + "."), HasSubstr("holds a tuple"));
  // A dict that holds itself: } q0 'a' h0 s .
  EXPECT_THAT(pickle_fault("}q" + std::string(1, '\0') + pickle::text("a") + "h" +
                           std::string(1, '\0') + "s."),
              HasSubstr("holds no tensors"));
  EXPECT_THAT(pickle_fault(std::string((size_t{8} << 20) + 1, 'N') + "."),
              HasSubstr("more than 8388608 values"));
}

TEST_F(TorchBin, NamesAreCheckedToo) {
  const std::string w = pickle::text("w") + pickle::tensor({});
  EXPECT_THAT(pickle_fault("}(" + w + w + "u."), HasSubstr("'w' occurs twice"));
  EXPECT_THAT(pickle_fault(pickle::dict("\xff", pickle::tensor({}))), HasSubstr("not UTF-8"));
  EXPECT_EQ(open_pickle("}(" + w + "K\1" + pickle::tensor({}) + pickle::text("n") + "Nu.")
                ->tensors()
                .size(),
            1U)
      << "entries that are not named tensors are skipped";
}

TEST_F(TorchBin, OtherContainers) {
  EXPECT_THAT(fault(""), HasSubstr("is empty"));
  EXPECT_THAT(fault("hello"), HasSubstr("is not a PyTorch file: it begins with 68 65 6c 6c"));
  EXPECT_THAT(fault("x"), HasSubstr("is not a PyTorch file"));
  EXPECT_THAT(fault(std::string(257, '\0') + "ustar  " + std::string(300, '\0')),
              HasSubstr("tar file"));
  EXPECT_THAT(fault("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("git lfs pull"));
  EXPECT_THAT(fault(zip_bytes({{.name = "a/b.txt", .content = "x"}})),
              HasSubstr("0 records named data.pkl"));
  EXPECT_THAT(fault(zip_bytes({{.name = "a/data.pkl", .content = "N."},
                               {.name = "b/data.pkl", .content = "N."}})),
              HasSubstr("2 records named data.pkl"));
  EXPECT_THAT(fault(zip_bytes({{.name = "a/data.pkl", .content = "N."},
                               {.name = "a/constants.pkl", .content = "N."}})),
              HasSubstr("TorchScript"));
  EXPECT_THAT(fault(zip_bytes({{.name = "a/data.pkl", .content = "N."},
                               {.name = "a/byteorder", .content = "big"}})),
              HasSubstr("byte order is 'big'"));
}

TEST_F(TorchBin, BrokenZips) {
  const test::ZipFile record = {.name = "m/data.pkl", .content = "N."};
  const auto broken = [&](auto change) {
    test::ZipFile file = record;
    change(file);
    return fault(zip_bytes({file}));
  };
  EXPECT_THAT(broken([](auto& file) { file.method = 8; }),
              AllOf(HasSubstr("'m/data.pkl'"), HasSubstr("compressed (method 8)")));
  EXPECT_THAT(broken([](auto& file) { file.flags = 1; }), HasSubstr("encrypted"));
  EXPECT_THAT(broken([](auto& file) { file.claimed_size = 100000; }), HasSubstr("100000 bytes"));
  EXPECT_THAT(broken([](auto& file) { file.claimed_size = 0xffffffff; }),
              HasSubstr("4294967295 bytes"));
  EXPECT_THAT(broken([](auto& file) { file.claimed_offset = 100000; }),
              HasSubstr("begins at byte 100000"));
  EXPECT_THAT(broken([](auto& file) { file.claimed_offset = 1; }), HasSubstr("no zip header"));
  EXPECT_THAT(fault(zip_bytes({record, record})), HasSubstr("occurs twice"));
  EXPECT_THAT(fault("PK\3\4"), HasSubstr("truncated"));
  EXPECT_THAT(fault("PK\3\4" + std::string(100, '\0')), HasSubstr("zip directory not found"));
}

// Truncates a valid file everywhere and changes each byte: every variant must load or throw an Error, never
// crash.
TEST_F(TorchBin, AnyChangedByteIsSurvived) {
  const std::string good =
      torch_bin_bytes(pickle::dict("w", pickle::tensor({})), {{"0", four_floats()}});
  test::TemporaryFolder folder;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char value : {'\0', '\x01', '\x7f', '\xff', '(', '.'}) {
      std::string bytes = good;
      bytes[i] = value;
      try {
        const auto file = open_torch_bin(folder.write("f", bytes));
        for (size_t t = 0; t < file->tensors().size(); ++t) file->load(t).to(at::kFloat).sum();
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      }
    }
    EXPECT_THROW(open_torch_bin(folder.write("f", good.substr(0, i))), Error) << "cut at " << i;
  }
}

TEST_F(TorchBin, AZip64DirectoryOutsideTheFile) {
  std::string good = torch_bin_bytes(pickle::dict("w", pickle::tensor({})), {{"0", four_floats()}});
  const std::string end = good.substr(good.size() - 22);
  good.resize(good.size() - 22);
  const auto with_end64 = [&](uint64_t directory_size, uint64_t directory_offset,
                              uint64_t entries = 3) {
    const std::string end64 = "PK\6\6" + std::string(28, '\0') + test::bytes_of(entries) +
                              test::bytes_of(directory_size) + test::bytes_of(directory_offset);
    return good + end64 + "PK\6\7" + std::string(4, '\0') + test::bytes_of(uint64_t{good.size()}) +
           std::string(4, '\0') + end;
  };
  EXPECT_THAT(fault(with_end64(~uint64_t{0}, 0)), HasSubstr("zip directory of"));
  EXPECT_THAT(fault(with_end64(16, ~uint64_t{0} - 8)), HasSubstr("zip directory of"));
  EXPECT_THAT(fault(with_end64(0, 0, ~uint64_t{0})), HasSubstr("claims 18446744073709551615"));
  EXPECT_THAT(fault(good + "PK\6\7" + std::string(4, '\0') + test::bytes_of(~uint64_t{0}) +
                    std::string(4, '\0') + end),
              HasSubstr("zip64 end record"));
  EXPECT_THAT(fault(good + "PK\6\7" + std::string(4, '\0') + test::bytes_of(uint64_t{0}) +
                    std::string(4, '\0') + end),
              HasSubstr("no zip64 end record at byte 0, where its locator points"));
}

TEST_F(TorchBin, APickleThatIsLargerThanThoseOfStateDicts) {
  constexpr uint32_t kSize = (uint32_t{128} << 20) + 1;
  std::string bytes = zip_bytes({{.name = "m/data.pkl", .content = "N.", .claimed_size = kSize}});
  const size_t directory = bytes.find("PK\1\2");
  const uint32_t directory_offset = kSize + 100;  // after the record, which is a hole in the file
  const std::string offset = test::bytes_of(directory_offset);
  bytes.replace(bytes.size() - 6, offset.size(), offset);
  const test::TemporaryFolder folder;
  const auto path = folder.write("m.bin", bytes.substr(0, directory));
  std::filesystem::resize_file(path, directory_offset);
  std::ofstream(path, std::ios::binary | std::ios::app) << bytes.substr(directory);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { open_torch_bin(path); }),
              HasSubstr("m.bin: pickle of 134217729 bytes is over the limit of 134217728"));
}

}  // namespace
}  // namespace prune::checkpoint
