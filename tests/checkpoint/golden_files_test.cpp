// Reads files written by torch and safetensors (scripts/golden/checkpoint.py).
#include <prune/checkpoint/checkpoint.h>
#include <prune/core/json_file.h>

#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using testing::HasSubstr;

std::filesystem::path golden_file(const std::string& name) {
  return test::golden() / "checkpoint" / name;
}

std::unique_ptr<TensorFile> open_golden(const std::string& name) {
  const auto path = golden_file(name);
  return name.ends_with(".bin") ? open_torch_bin(path) : open_safetensors(path);
}

class GoldenFile : public testing::TestWithParam<const char*> {};

TEST_P(GoldenFile, HoldsWhatItsWriterSays) {
  const json expected = read_json(golden_file("expected.json")).at("files").at(GetParam());
  const auto file = open_golden(GetParam());
  EXPECT_EQ(file->tensors().size(), expected.size());
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorInfo& info = file->tensors()[i];
    SCOPED_TRACE(info.name);
    ASSERT_TRUE(expected.contains(info.name));
    const json& want = expected.at(info.name);
    EXPECT_EQ(dtype_name(info.dtype), want.at("dtype"));
    EXPECT_EQ(info.shape, want.at("shape").get<std::vector<int64_t>>());
    const Tensor tensor = file->load(i);
    EXPECT_TRUE(tensor.is_contiguous());
    EXPECT_EQ(tensor.scalar_type(), info.dtype);
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef(info.shape));
    EXPECT_EQ(static_cast<int64_t>(tensor.nbytes()), info.size_bytes);
    const Tensor values = tensor.to(at::kDouble).flatten();
    const auto wanted = want.at("values").get<std::vector<double>>();
    EXPECT_TRUE(at::equal(values, at::tensor(wanted, at::kDouble))) << values;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenFile,
                         testing::Values("ordered_dict.bin", "plain_dict.bin", "protocol_4.bin",
                                         "views.bin", "parameters.bin", "tied.bin", "nested.bin",
                                         "zip64.bin", "all.safetensors"));

TEST(GoldenFaults, ForeignFunctionIsRefusedByItsName) {
  EXPECT_THAT(
      error_of(ErrorKind::kInput, [] { open_golden("foreign.bin"); }),
      testing::AllOf(HasSubstr("foreign.bin"), HasSubstr("refuses to load 'posix system'")));
}

TEST(GoldenFaults, LegacyFormatSaysHowToRewriteIt) {
  EXPECT_THAT(error_of(ErrorKind::kInput, [] { open_golden("legacy.bin"); }),
              testing::AllOf(HasSubstr("before 1.6"), HasSubstr("torch.save(")));
}

TEST(GoldenFaults, DictsThatAreNoStateDict) {
  EXPECT_THAT(error_of(ErrorKind::kInput, [] { open_golden("ambiguous.bin"); }),
              HasSubstr("tensors under 'model' and 'ema'"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [] { open_golden("no_tensors.bin"); }),
              HasSubstr("holds no tensors"));
}

}  // namespace
}  // namespace prune::checkpoint
