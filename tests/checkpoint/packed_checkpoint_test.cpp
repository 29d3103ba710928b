#include <prune/checkpoint/pack_quantized.h>
#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/json_file.h>

#include "checkpoint/make_safetensors.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using testing::HasSubstr;

// Makes a checkpoint of arbitrary tensors: CheckpointWriter replaces those of a checkpoint with equal names.
class PackedCheckpoint : public testing::Test {
 protected:
  void write_source(const std::vector<std::pair<std::string, Tensor>>& tensors,
                    const Quantization* quantization = nullptr) {
    std::vector<std::string> names;
    WriterOptions options;
    for (const auto& [name, value] : tensors) {
      names.push_back(name);
      TensorInfo info;
      info.name = name;
      info.dtype = value.scalar_type();
      info.shape = value.sizes().vec();
      info.size_bytes = static_cast<int64_t>(value.nbytes());
      options.replaced[name] = {info};
    }
    folder_.write("names/model.safetensors", test::vectors_bytes(names));
    json config = {{"model_type", "opt"}};
    if (quantization != nullptr) {
      config["quantization_config"] = quantization_config(*quantization, {"lm_head"});
    }
    folder_.write("names/config.json", config.dump());
    const Checkpoint blank = Checkpoint::open(folder_.path() / "names");
    CheckpointWriter writer(blank, source(), options);
    for (const auto& [name, value] : tensors) writer.write(name, value);
    writer.copy_rest();
    writer.write_text("prune_report.json", "{}");
    writer.commit();
  }

  static Tensor sparse(at::IntArrayRef shape, double sparsity, at::ScalarType dtype) {
    const Tensor value = at::randn(shape);
    return value.masked_fill(at::rand(shape).lt(sparsity), 0.0).to(dtype);
  }

  /// Packs and unpacks the source; expects identical files.
  Repacked round_trip() {
    const Repacked packed = pack_checkpoint(source(), folder_.path() / "packed", false);
    unpack_checkpoint(folder_.path() / "packed", folder_.path() / "back", false);
    for (const auto& entry : fs::directory_iterator(source())) {
      const std::string name = entry.path().filename().string();
      EXPECT_TRUE(read_file(entry.path()) == read_file(folder_.path() / "back" / name)) << name;
    }
    return packed;
  }

  fs::path source() const { return folder_.path() / "source"; }

  test::TemporaryFolder folder_;
};

TEST_F(PackedCheckpoint, EveryDtypeComesBackByteForByte) {
  at::manual_seed(3);
  Tensor odd = sparse({67, 131}, 0.8, at::kHalf);
  odd[0][0] = -0.0;  // its bytes differ from those of +0
  odd[0][1] = std::numeric_limits<double>::quiet_NaN();
  odd[0][2] = 6e-8;
  write_source({{"half", odd},
                {"bfloat", sparse({64, 64}, 0.7, at::kBFloat16)},
                {"float", sparse({3, 5, 77}, 0.6, at::kFloat)},
                {"double", sparse({1024}, 0.5, at::kDouble)},
                {"empty", at::empty({0, 4})},
                {"all_zero", at::zeros({40, 40})},
                {"dense", at::randn({40, 40})},
                {"ids", at::arange(1000)},
                {"flags", at::zeros({3000}, at::kBool)}});
  const Repacked packed = round_trip();
  EXPECT_LT(packed.output_bytes, packed.source_bytes);
  const Checkpoint shown = Checkpoint::open(folder_.path() / "packed");
  const Checkpoint dense = Checkpoint::open(source());
  for (const std::string& name : dense.names()) {
    EXPECT_EQ(shown.info(name).shape, dense.info(name).shape) << name;
    EXPECT_EQ(shown.info(name).dtype, dense.info(name).dtype) << name;
    EXPECT_EQ(shown.info(name).size_bytes, dense.info(name).size_bytes) << name;
  }
  EXPECT_EQ(shown.names().size(), dense.names().size());
}

TEST_F(PackedCheckpoint, SixteenBitsAtSeventyPercentTakeAThird) {
  write_source({{"w", sparse({512, 512}, 0.7, at::kHalf)}});
  const double bits =
      8.0 * static_cast<double>(round_trip().output_bytes) / static_cast<double>(512 * 512);
  EXPECT_NEAR(bits, 1 + 0.3 * 16, 0.1);
}

TEST_F(PackedCheckpoint, QuantizedWeightsLeaveOutTheZeroPoint) {
  at::manual_seed(4);
  for (const int64_t wbits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      SCOPED_TRACE(fmt::format("{} bits, symmetric {}", wbits, symmetric));
      const Quantization quantization{wbits, 32, symmetric};
      const int64_t top = int64_t{1} << (wbits - 1);
      QuantizedWeight weight{.codes = at::randint(-top, top, {96, 160}, at::kChar),
                             .scale = at::rand({96, 5}).to(at::kHalf),
                             .zero = at::zeros({96, 5}, at::kChar)};
      if (!symmetric) weight.zero = at::randint(-top, top, {96, 5}, at::kChar);
      weight.codes = at::where(at::rand({96, 160}).lt(0.7), weight.zero.repeat_interleave(32, 1),
                               weight.codes);
      write_source(packed_tensors("x", weight, quantization), &quantization);
      const Repacked packed = round_trip();
      if (wbits > 2) EXPECT_LT(packed.output_bytes, packed.source_bytes);
      Checkpoint shown = Checkpoint::open(folder_.path() / "packed");
      shown.dequantize({.quantization = quantization});
      EXPECT_TRUE(shown.load("x.weight").equal(dequantize(weight)));
      for (const char* name : {"source", "packed", "back", "names"}) {
        fs::remove_all(folder_.path() / name);
      }
    }
  }
}

TEST_F(PackedCheckpoint, WordsThatAreNoCodesStayAsTheyAre) {
  const Quantization quantization{3, -1, true};
  // 20 codes of 3 bits leave 4 bits of the second word, which no packer sets to one.
  write_source({{"x.weight_packed", at::full({400, 2}, -1, at::kInt)},
                {"x.weight_scale", at::ones({400, 1}, at::kHalf)},
                {"x.weight_shape", at::tensor({400, 20}, at::kLong)}},
               &quantization);
  EXPECT_GE(round_trip().output_bytes, 400 * 2 * 4);
}

TEST_F(PackedCheckpoint, SecondTimeIsAnError) {
  write_source({{"w", sparse({64, 64}, 0.7, at::kHalf)}});
  round_trip();
  EXPECT_THAT(
      error_of(ErrorKind::kInput,
               [&] { pack_checkpoint(folder_.path() / "packed", folder_.path() / "x", false); }),
      HasSubstr("is already packed"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] { unpack_checkpoint(source(), folder_.path() / "x", false); }),
              HasSubstr("is not packed"));
}

// Malformed files, by mistake or on purpose.
TEST_F(PackedCheckpoint, PartsThatDoNotFitAreNamed) {
  const auto file = [&](const std::string& kept, const std::string& mask_bits,
                        const std::string& shape) {
    const std::string header =
        R"({"w.pack_shape":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
        R"("w.pack_kept":{"dtype":)" +
        kept + R"(,"data_offsets":[16,20]},)" +
        R"("w.pack_mask":{"dtype":"U8","shape":[1],"data_offsets":[20,21]}})";
    return folder_.write(
        "f.prunepack", test::safetensors_bytes(header, shape + std::string(4, '\x3c') + mask_bits));
  };
  const auto sizes = [](int64_t rows, int64_t cols) {
    return test::bytes_of(rows) + test::bytes_of(cols);
  };
  const auto message = [&](const fs::path& path) {
    return error_of(ErrorKind::kInput, [&] { open_prunepack(path)->load(0); });
  };
  const std::string two_halves = R"("F16","shape":[2])";
  EXPECT_EQ(open_prunepack(file(two_halves, "\x21", sizes(2, 3)))
                ->load(0)
                .count_nonzero()
                .item<int64_t>(),
            2);
  EXPECT_THAT(message(file(two_halves, "\x01", sizes(2, 3))), HasSubstr("keeps 1 elements, 2 are"));
  EXPECT_THAT(message(file(two_halves, "\x81", sizes(2, 3))), HasSubstr("beyond its end"));
  EXPECT_THAT(message(file(two_halves, "\x21", sizes(2, 30))), HasSubstr("mask of 1 bytes"));
  EXPECT_THAT(message(file(two_halves, "\x21", sizes(int64_t{1} << 40, int64_t{1} << 40))),
              HasSubstr("mask of 1 bytes"));
  EXPECT_THAT(message(file(two_halves, "\x21", sizes(-2, -3))),
              HasSubstr("[-2, -3] is not a valid shape"));
  EXPECT_THAT(message(file(R"("I16","shape":[2])", "\x21", sizes(2, 3))),
              HasSubstr("do not form a packed tensor"));
  EXPECT_THAT(
      message(folder_.write("g", test::vectors_bytes(std::vector<std::string>{"w.pack_kept"}))),
      HasSubstr("'w.pack_mask' is missing"));
}

}  // namespace
}  // namespace prune::checkpoint
