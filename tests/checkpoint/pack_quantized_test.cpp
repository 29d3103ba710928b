#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/json_file.h>

#include <map>

#include "checkpoint/make_safetensors.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using testing::HasSubstr;

// Golden tensors packed by the package compressed-tensors (scripts/golden/pack_quantized.py).
class PackQuantized : public testing::TestWithParam<int64_t> {
 protected:
  Tensor golden(const std::string& name) const { return file_->load(position_.at(name)); }

  PackQuantized()
      : file_(open_safetensors(test::golden() / "checkpoint/pack_quantized.safetensors")) {
    for (size_t i = 0; i < file_->tensors().size(); ++i) position_[file_->tensors()[i].name] = i;
  }

  std::unique_ptr<TensorFile> file_;
  std::map<std::string, size_t> position_;
};

TEST_P(PackQuantized, CodesLieAsThePackageLaysThem) {
  const std::string bits = std::to_string(GetParam());
  const Tensor codes = golden("codes." + bits);
  EXPECT_TRUE(pack_codes(codes, GetParam()).equal(golden("packed." + bits)));
  EXPECT_TRUE(pack_codes(codes.t(), GetParam()).t().equal(golden("packed_rows." + bits)));
  EXPECT_TRUE(unpack_codes(golden("packed." + bits), GetParam(), codes.size(1)).equal(codes));
  EXPECT_TRUE(
      unpack_codes(golden("packed_rows." + bits).t(), GetParam(), codes.size(0)).t().equal(codes));
}

TEST_P(PackQuantized, WeightsComeOutAndGoBackInToTheBit) {
  for (const bool symmetric : {true, false}) {
    const std::string layer = fmt::format("layer.{}.{}", GetParam(), symmetric ? "sym" : "asym");
    SCOPED_TRACE(layer);
    const Quantization quantization{GetParam(), 32, symmetric};
    std::vector<Tensor> parts;
    for (const TensorInfo& info : packed_infos(layer, 40, 96, at::kHalf, quantization)) {
      parts.push_back(golden(info.name));
      EXPECT_EQ(parts.back().sizes(), at::IntArrayRef(info.shape)) << info.name;
    }
    const QuantizedWeight weight = unpacked(parts, {40, 96}, quantization);
    EXPECT_TRUE(dequantize(weight).equal(golden(layer + ".weight")));
    for (const auto& [name, value] : packed_tensors(layer, weight, quantization)) {
      EXPECT_TRUE(value.equal(golden(name))) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, PackQuantized, testing::Values(2, 3, 4, 8));

TEST(PackQuantizedConfig, SaysWhatItWasMadeFrom) {
  for (const Quantization& quantization :
       {Quantization{4, 128, true}, Quantization{3, -1, false}, Quantization{8, 32, false}}) {
    const Quantization read = read_quantization(quantization_config(quantization, {"lm_head"}));
    EXPECT_EQ(read.wbits, quantization.wbits);
    EXPECT_EQ(read.group_size, quantization.group_size);
    EXPECT_EQ(read.symmetric, quantization.symmetric);
  }
}

TEST(PackQuantizedConfig, RefusesWhatWouldBeReadWrongly) {
  const json good = quantization_config({4, 128, true}, {"lm_head"});
  const auto message = [&](const char* pointer, const json& value) {
    json config = good;
    config[json::json_pointer(pointer)] = value;
    return error_of(ErrorKind::kInput, [&] { read_quantization(config); });
  };
  EXPECT_THAT(message("/quant_method", "gptq"), HasSubstr("quant_method 'gptq'"));
  EXPECT_THAT(message("/format", "float-quantized"), HasSubstr("format 'float-quantized'"));
  EXPECT_THAT(message("/config_groups/group_1", json::object()), HasSubstr("several"));
  const std::string weights = "/config_groups/group_0/weights/";
  EXPECT_THAT(message((weights + "num_bits").c_str(), 16), HasSubstr("int of 16 bits"));
  EXPECT_THAT(message((weights + "type").c_str(), "float"), HasSubstr("float of 4 bits"));
  EXPECT_THAT(message((weights + "strategy").c_str(), "block"), HasSubstr("strategy 'block'"));
  EXPECT_THAT(message((weights + "group_size").c_str(), 0), HasSubstr("group_size 0"));
  EXPECT_THAT(message("/config_groups/group_0/input_activations", json::object()),
              HasSubstr("activations"));
}

// A file with one quantized layer; tests alter its header.
class QuantizedCheckpoint : public testing::Test {
 protected:
  Checkpoint open(const std::string& header,
                  std::string shape = test::bytes_of(int64_t{2}) + test::bytes_of(int64_t{32})) {
    std::string data = shape + std::string(2 * 16, '\x88') + std::string(4, '\x3c');
    folder_.write("model/model.safetensors", test::safetensors_bytes(header, data));
    Checkpoint checkpoint = Checkpoint::open(folder_.path() / "model");
    checkpoint.dequantize({.quantization = {4, 32, true}});
    return checkpoint;
  }

  const std::string shape_ =
      R"({"x.weight_shape":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)";
  const std::string codes_ =
      R"("x.weight_packed":{"dtype":"I32","shape":[2,4],"data_offsets":[16,48]},)";
  const std::string scale_ =
      R"("x.weight_scale":{"dtype":"F16","shape":[2,1],"data_offsets":[48,52]}})";
  test::TemporaryFolder folder_;
};

TEST_F(QuantizedCheckpoint, ShowsTheDenseWeight) {
  const Checkpoint checkpoint = open(shape_ + codes_ + scale_);
  EXPECT_EQ(checkpoint.names(), std::vector<std::string>{"x.weight"});
  EXPECT_TRUE(checkpoint.has_codes("x.weight"));
  EXPECT_EQ(checkpoint.info("x.weight").size_bytes, 2 * 32 * 2);
  EXPECT_EQ(checkpoint.stored_bytes("x.weight"), 32 + 4);
  EXPECT_EQ(checkpoint.stored_form("x.weight"), "int4");
  const Tensor weight = checkpoint.load("x.weight", {2, 32});
  EXPECT_EQ(weight.scalar_type(), at::kHalf);
  EXPECT_EQ(weight.count_nonzero().item<int64_t>(), 0) << "nibble 8 is zero";
}

// Kimi K2: int32 shapes, each expert on its own, and an unused layer that goes back under its stored name.
TEST_F(QuantizedCheckpoint, ShowsEachExpertUnderItsName) {
  const std::string expert = "layers.1.mlp.experts.7.down_proj";
  std::string header = shape_ + codes_ + scale_;
  for (size_t at = 0; (at = header.find("\"x.", at)) != std::string::npos;) {
    header.replace(at + 1, 1, expert);
  }
  header.replace(header.find("I64\",\"shape\":[2],\"data_offsets\":[0,16]"), 38,
                 "I32\",\"shape\":[2],\"data_offsets\":[0,8]");
  header.replace(header.find("[16,48]"), 7, "[8,40]");
  header.replace(header.find("[48,52]"), 7, "[40,44]");
  folder_.write(
      "kimi/model.safetensors",
      test::safetensors_bytes(header, test::bytes_of(int32_t{2}) + test::bytes_of(int32_t{32}) +
                                          std::string(2 * 16, '\x88') + std::string(4, '\x3c')));
  Checkpoint checkpoint = Checkpoint::open(folder_.path() / "kimi");
  checkpoint.apply({.base_prefix = "model.", .head = "lm_head.weight"});
  EXPECT_EQ(checkpoint.dequantize({.quantization = {4, 32, true}}), 1);
  EXPECT_EQ(checkpoint.names(), std::vector<std::string>{"model." + expert + ".weight"});
  checkpoint.restore_names([](const std::string&) { return false; });
  EXPECT_EQ(checkpoint.names(), std::vector<std::string>{expert + ".weight"});
  EXPECT_EQ(checkpoint.load(expert + ".weight").sizes(), at::IntArrayRef({2, 32}));
}

TEST_F(QuantizedCheckpoint, SaysWhichPartDoesNotFit) {
  const auto message = [&](const std::string& header, const std::string& shape) {
    return error_of(ErrorKind::kInput, [&] { open(header, shape); });
  };
  const auto sizes = [](int64_t rows, int64_t cols) {
    return test::bytes_of(rows) + test::bytes_of(cols);
  };
  const std::string whole = shape_ + codes_ + scale_;
  EXPECT_THAT(message(whole, sizes(3, 32)), HasSubstr("'x.weight_packed' is int32 [2, 4]"));
  EXPECT_THAT(message(whole, sizes(2, 33)), HasSubstr("multiple of the group size 32, not 33"));
  EXPECT_THAT(message(whole, sizes(-2, 32)),
              HasSubstr("expected sizes between 1 and 2147483648, not -2 x 32"));
  EXPECT_THAT(message(whole, sizes(int64_t{1} << 62, int64_t{1} << 62)),
              HasSubstr("expected sizes between 1 and 2147483648, not"));
  std::string renamed = whole;
  renamed.replace(renamed.find("_scale"), 6, "_stale");
  EXPECT_THAT(message(renamed, sizes(2, 32)), HasSubstr("'x.weight_scale' is missing"));
  std::string other_shape = whole;
  other_shape.replace(other_shape.find("[2]"), 3, "[1,2]");
  EXPECT_THAT(message(other_shape, sizes(2, 32)),
              HasSubstr("'x.weight_shape' is int64 [1, 2], expected int64 [2]"));
  const std::string dense = R"("x.weight":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},)";
  EXPECT_THAT(message("{" + dense + whole.substr(1), sizes(2, 32)),
              HasSubstr("tensor 'x.weight' is stored both dense and quantized"));
}

}  // namespace
}  // namespace prune::checkpoint
