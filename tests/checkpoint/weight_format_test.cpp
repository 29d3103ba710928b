#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/checkpoint/weight_format.h>
#include <prune/core/json_file.h>

#include <set>

#include "checkpoint/make_safetensors.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using testing::AllOf;
using testing::HasSubstr;

using Kind = WeightFormat::Kind;

// Weights dequantized by Transformers and compressed-tensors (scripts/golden/float_formats.py): X as it is stored and
// dense.X.
struct GoldenFormat {
  const char* file;
  json config;
};

const std::vector<GoldenFormat>& golden_formats() {
  const auto compressed = [](const char* format) {
    return GoldenFormat{format, {{"quant_method", "compressed-tensors"}, {"format", format}}};
  };
  static const std::vector<GoldenFormat> kFormats = {
      {"fp8", {{"quant_method", "fp8"}, {"weight_block_size", {16, 32}}}},
      {"mxfp4", {{"quant_method", "mxfp4"}}},
      compressed("nvfp4-pack-quantized"),
      compressed("mxfp4-pack-quantized"),
      compressed("mxfp8-quantized")};
  return kFormats;
}

class FloatFormat : public testing::TestWithParam<size_t> {
 protected:
  static constexpr std::string_view kDense = "dense.";

  FloatFormat() {
    const GoldenFormat& golden = golden_formats()[GetParam()];
    const std::filesystem::path source = folder_.path() / "model";
    std::filesystem::create_directory(source);
    std::filesystem::copy(
        test::golden() / "checkpoint/float_formats" / (golden.file + std::string(".safetensors")),
        source / "model.safetensors");
    checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(source));
    count_ = checkpoint_->dequantize(read_weight_format(golden.config));
    for (const std::string& name : checkpoint_->names()) {
      if (name.starts_with(kDense)) expected_.push_back(name);
    }
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
  int64_t count_ = 0;
  std::vector<std::string> expected_;  // names of dense weights
};

TEST_P(FloatFormat, IsReadToTheBit) {
  EXPECT_EQ(count_, std::ssize(expected_));
  EXPECT_EQ(checkpoint_->names().size(), 2 * expected_.size()) << "no scale is left";
  for (const std::string& name : expected_) {
    const std::string weight = name.substr(kDense.size());
    SCOPED_TRACE(weight);
    EXPECT_TRUE(checkpoint_->is_quantized(weight));
    EXPECT_FALSE(checkpoint_->has_codes(weight));
    const Tensor dense = checkpoint_->load(name);
    const TensorInfo& info = checkpoint_->info(weight);
    EXPECT_EQ(info.dtype, at::kBFloat16);
    EXPECT_EQ(at::IntArrayRef(info.shape), dense.sizes());
    EXPECT_EQ(info.size_bytes, static_cast<int64_t>(dense.nbytes()));
    EXPECT_LT(checkpoint_->stored_bytes(weight), info.size_bytes);
    const Tensor read = checkpoint_->load(weight);
    EXPECT_TRUE(read.is_contiguous());
    EXPECT_TRUE(read.view(at::kShort).equal(dense.view(at::kShort)));
  }
}

TEST_P(FloatFormat, OneMatrixOfAStackIsReadAlone) {
  for (const std::string& name : expected_) {
    const std::string weight = name.substr(kDense.size());
    const Tensor dense = checkpoint_->load(name);
    const bool is_stack = dense.dim() == 3;
    EXPECT_EQ(std::ssize(checkpoint_->pieces(weight)), is_stack ? dense.size(0) : 1);
    for (const TensorRef& piece : checkpoint_->pieces(weight)) {
      EXPECT_TRUE(checkpoint_->load(piece).equal(piece.in(dense))) << weight << piece.index;
      TensorRef every_second = piece;
      every_second.transposed = true;
      every_second.first_row = 1;
      every_second.row_step = 2;
      every_second.rows = 3;
      EXPECT_TRUE(checkpoint_->load(every_second).equal(every_second.in(dense))) << weight;
    }
  }
}

TEST_P(FloatFormat, IsCopiedDense) {
  const std::filesystem::path output = folder_.path() / "out";
  CheckpointWriter writer(*checkpoint_, output);
  // Somebody else has written one row of one weight.
  const std::string changed = expected_.back().substr(kDense.size());
  const Tensor dense = checkpoint_->load(expected_.back());
  const TensorRef row{
      .name = changed, .index = dense.dim() == 3 ? 1 : -1, .first_row = 2, .rows = 1};
  const Tensor ones = at::ones_like(row.in(dense));
  writer.write(row, ones);
  writer.copy_rest();
  writer.commit();
  const Checkpoint written = Checkpoint::open(output);
  EXPECT_EQ(std::set<std::string>(written.names().begin(), written.names().end()),
            std::set<std::string>(checkpoint_->names().begin(), checkpoint_->names().end()));
  for (const std::string& name : expected_) {
    const std::string weight = name.substr(kDense.size());
    Tensor expected = checkpoint_->load(name).clone();
    if (weight == changed) row.in(expected).copy_(ones);
    EXPECT_TRUE(written.load(weight).equal(expected)) << weight;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, FloatFormat, testing::Range<size_t>(0, golden_formats().size()),
                         [](const auto& info) {
                           std::string name = golden_formats()[info.param].file;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(WeightFormatConfig, SaysHowWeightsAreStored) {
  const auto read = [](const json& config) { return read_weight_format(config); };
  const WeightFormat deepseek = read({{"quant_method", "fp8"},
                                      {"activation_scheme", "dynamic"},
                                      {"fmt", "e4m3"},
                                      {"weight_block_size", {64, 128}}});
  EXPECT_EQ(deepseek.kind, Kind::kFp8);
  EXPECT_EQ(describe(deepseek), "FP8 with a scale for each 64 x 128 block");
  EXPECT_EQ(read({{"quant_method", "fp8"}}).block_rows, 128);
  EXPECT_EQ(describe(read({{"quant_method", "fp8"}, {"weight_block_size", nullptr}})),
            "FP8 with a scale for each matrix");
  EXPECT_EQ(read({{"quant_method", "mxfp8"}}).kind, Kind::kFp8);
  EXPECT_EQ(describe(read({{"quant_method", "mxfp4"}})), "MXFP4");
  EXPECT_EQ(describe(read(golden_formats()[2].config)), "NVFP4");
  EXPECT_EQ(describe(read(golden_formats()[4].config)), "MXFP8");
}

TEST(WeightFormatConfig, RefusesWhatCannotBeRead) {
  const auto message = [](const json& config) {
    return error_of(ErrorKind::kInput, [&] { read_weight_format(config); });
  };
  EXPECT_THAT(message({{"quant_method", "gptq"}, {"bits", 4}}),
              AllOf(HasSubstr("quantized (quant_method 'gptq'"), HasSubstr("can be read is FP8")));
  EXPECT_THAT(message("fp8"), HasSubstr("quant_method 'not given'"));
  for (const json& size :
       json::array({json::array({0, 128}), json::array({128}), 128, json::array({128, -1}),
                    json::array({1.5, 2}), json::array({128, 1 << 25}), "128"})) {
    EXPECT_THAT(message({{"quant_method", "fp8"}, {"weight_block_size", size}}),
                HasSubstr("key 'weight_block_size' is " + size.dump() + ", not two positive"));
  }
}

// A checkpoint of these tensors, filled with zeros.
class BadParts : public testing::Test {
 protected:
  struct Stored {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
  };

  std::string message(const std::vector<Stored>& tensors, const WeightFormat& format) {
    json header = json::object();
    int64_t end = 0;
    for (const Stored& tensor : tensors) {
      const int64_t size = tensor.dtype == "F32" ? 4 : tensor.dtype == "BF16" ? 2 : 1;
      const int64_t begin = end;
      end += size * element_count(tensor.shape);
      header[tensor.name] = {
          {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    }
    folder_.write("model.safetensors",
                  test::safetensors_bytes(header.dump(), std::string(static_cast<size_t>(end), 0)));
    Checkpoint checkpoint = Checkpoint::open(folder_.path());
    return error_of(ErrorKind::kInput, [&] { checkpoint.dequantize(format); });
  }

  test::TemporaryFolder folder_;
};

TEST_F(BadParts, OfFp8AreNamed) {
  const WeightFormat format{.kind = Kind::kFp8, .block_rows = 16, .block_cols = 32};
  const Stored weight{"x.weight", "F8_E4M3", {40, 64}};
  const auto with_scale = [&](const std::string& dtype, const std::vector<int64_t>& shape) {
    return message({weight, {"x.weight_scale_inv", dtype, shape}}, format);
  };
  EXPECT_THAT(message({weight}, format), HasSubstr("tensor 'x.weight_scale_inv' is missing"));
  EXPECT_THAT(message({weight, {"x.weight_scale", "F32", {3, 2}}}, format),
              HasSubstr("'x.weight_scale_inv' is missing; the nearest name is 'x.weight_scale'"));
  EXPECT_THAT(with_scale("F32", {2, 3}),
              AllOf(HasSubstr("model.safetensors: tensor 'x.weight_scale_inv' is float32 [2, 3]"),
                    HasSubstr("expected [3, 2] for a weight [40, 64] in blocks of 16 x 32")));
  EXPECT_THAT(with_scale("F32", {3, 2, 1}), HasSubstr("expected [3, 2]"));
  EXPECT_THAT(with_scale("F32", {0}), HasSubstr("expected [3, 2]"));
  EXPECT_THAT(with_scale("I8", {3, 2}), HasSubstr("is int8 [3, 2], expected float32, bfloat16"));
  EXPECT_THAT(
      message({{"x.weight", "BF16", {40, 64}}, {"x.weight_scale_inv", "F32", {3, 2}}}, format),
      HasSubstr("tensor 'x.weight' is bfloat16 [40, 64], expected float8_e4m3fn, for "
                "'x.weight_scale_inv' scales it"));
  EXPECT_THAT(message({{"x.weight_scale_inv", "F32", {3, 2}}}, format),
              HasSubstr("tensor 'x.weight' is missing"));
  EXPECT_THAT(message({{"x.weight", "F8_E4M3", {64}}, {"x.weight_scale_inv", "F32", {2}}}, format),
              HasSubstr("'x.weight' is float8_e4m3fn [64], expected a matrix or a stack"));
  EXPECT_THAT(
      message({{"x.weight", "F8_E4M3", {0, 64}}, {"x.weight_scale_inv", "F32", {0, 2}}}, format),
      HasSubstr("expected a matrix that is not empty"));
  EXPECT_THAT(message({weight, {"x.weight_scale_inv", "F32", {3, 2}}}, {.kind = Kind::kFp8}),
              HasSubstr("expected one number for each matrix"));
}

TEST_F(BadParts, OfMxfp4AreNamed) {
  const WeightFormat format{.kind = Kind::kMxfp4};
  const Stored blocks{"x_blocks", "U8", {2, 4, 3, 16}};
  EXPECT_THAT(message({blocks}, format), HasSubstr("tensor 'x_scales' is missing"));
  EXPECT_THAT(message({{"x_scales", "U8", {2, 4, 3}}}, format),
              HasSubstr("tensor 'x_blocks' is missing"));
  EXPECT_THAT(message({blocks, {"x_scales", "U8", {2, 4, 4}}}, format),
              HasSubstr("'x_scales' is uint8 [2, 4, 4], expected uint8 [2, 4, 3]"));
  EXPECT_THAT(message({blocks, {"x_scales", "F32", {2, 4, 3}}}, format),
              HasSubstr("expected uint8 [2, 4, 3]"));
  EXPECT_THAT(message({{"x_blocks", "U8", {2, 4, 48}}, {"x_scales", "U8", {2, 4, 3}}}, format),
              HasSubstr("expected uint8 [experts, rows, groups, 16]"));
  EXPECT_THAT(message({blocks, {"x_scales", "U8", {2, 4, 3}}, {"x", "BF16", {1}}}, format),
              HasSubstr("tensor 'x' is stored both dense and quantized"));
}

TEST_F(BadParts, OfCompressedTensorsAreNamed) {
  const WeightFormat format{.kind = Kind::kNvfp4Packed};
  const Stored packed{"x.weight_packed", "U8", {4, 16}};
  const Stored scale{"x.weight_scale", "F8_E4M3", {4, 2}};
  const Stored global{"x.weight_global_scale", "F32", {1}};
  EXPECT_THAT(message({packed, global}, format), HasSubstr("'x.weight_scale' is missing"));
  EXPECT_THAT(message({packed, scale}, format), HasSubstr("'x.weight_global_scale' is missing"));
  EXPECT_THAT(message({packed, scale, {global.name, "F32", {4}}}, format),
              HasSubstr("expected one float32 number"));
  EXPECT_THAT(message({packed, {scale.name, "U8", {4, 2}}, global}, format),
              HasSubstr("expected float8_e4m3fn"));
  EXPECT_THAT(message({packed, {scale.name, "F8_E4M3", {1, 1}}, global}, format),
              HasSubstr("expected [4, 2] for a weight [4, 32] in blocks of 1 x 16"));
  EXPECT_THAT(message({{packed.name, "I8", {4, 16}}, scale, global}, format),
              HasSubstr("expected uint8"));
  EXPECT_THAT(message({packed, scale, global, {"x.weight_zero_point", "I8", {4, 2}}}, format),
              HasSubstr("expected symmetric weights without it"));
  EXPECT_THAT(message({packed, scale}, {.kind = Kind::kMxfp4Packed}),
              HasSubstr("expected E8M0 exponents in uint8"));
}

}  // namespace
}  // namespace prune::checkpoint
