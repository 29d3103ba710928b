#include <prune/core/json_file.h>

#include <algorithm>

#include "cli/edit_model.h"
#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using test::Tensors;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr int64_t kRows = 16;
constexpr int64_t kCols = 32;

struct BlockFp8 {
  Tensor elements;
  Tensor scale;
  Tensor dense;
};

// Rounds a weight block by block, as DeepSeek does; the last blocks may be smaller.
BlockFp8 rounded(const Tensor& weight) {
  const int64_t rows = weight.size(0);
  const int64_t cols = weight.size(1);
  BlockFp8 result{at::empty({rows, cols}, at::kFloat8_e4m3fn),
                  at::empty({(rows + kRows - 1) / kRows, (cols + kCols - 1) / kCols}, at::kFloat),
                  at::empty({rows, cols}, at::kBFloat16)};
  for (int64_t r = 0; r < rows; r += kRows) {
    for (int64_t c = 0; c < cols; c += kCols) {
      const auto block = [&](const Tensor& of) {
        return of.slice(0, r, std::min(rows, r + kRows)).slice(1, c, std::min(cols, c + kCols));
      };
      const Tensor scale = block(weight).to(at::kFloat).abs().max() / 448;
      const Tensor elements = (block(weight).to(at::kFloat) / scale).to(at::kFloat8_e4m3fn);
      result.scale[r / kRows][c / kCols].copy_(scale);
      block(result.elements).copy_(elements);
      block(result.dense).copy_(elements.to(at::kFloat) * scale);
    }
  }
  return result;
}

// A tiny LLaMA in block FP8, and the same numbers in bfloat16.
class QuantizedInput : public testing::Test {
 protected:
  QuantizedInput() {
    test::edit_tensors(path("dense"), [](Tensors& t) {
      t["mtp.0.proj.weight"] = at::linspace(-1, 1, 40).view({8, 5});
      for (auto& [name, value] : t) {
        if (name.ends_with("proj.weight")) value = rounded(value).dense;
      }
    });
    test::edit_tensors(path("fp8"), [](Tensors& t) {
      t["mtp.0.proj.weight"] = at::linspace(-1, 1, 40).view({8, 5});
      Tensors scales;
      for (auto& [name, value] : t) {
        if (!name.ends_with("proj.weight")) continue;
        BlockFp8 weight = rounded(value);
        value = weight.elements;
        scales[name + "_scale_inv"] = weight.scale;
      }
      t.merge(scales);
    });
    configure({{"quant_method", "fp8"},
               {"activation_scheme", "dynamic"},
               {"weight_block_size", {kRows, kCols}}});
  }

  fs::path path(const std::string& name) const { return folder_.path() / name; }

  void configure(const json& quantization, const std::string& name = "fp8") {
    json config = read_json(path(name) / "config.json");
    config["quantization_config"] = quantization;
    folder_.write(name + "/config.json", config.dump());
  }

  test::Outcome run(const std::string& name, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--model",       path(name).string(),
                                          "--calibration", text_,
                                          "--target",      "0.5",
                                          "--nsamples",    "4",
                                          "--seqlen",      "32",
                                          "--schedule",    "uniform",
                                          "--threads",     "1",
                                          "--output",      path(name + "-out").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run_prune(arguments);
  }

  void expect_refused(const std::string& says) const {
    const test::Outcome outcome = run("fp8", {"--quiet"});
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith("prune: input error: " + path("fp8").string()));
    EXPECT_THAT(outcome.err, HasSubstr(says));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_FALSE(fs::exists(path("fp8-out.partial")));
  }

  test::TemporaryFolder folder_;
  fs::path dense_ = test::tiny_model(folder_, "dense", "llama");
  fs::path fp8_ = test::tiny_model(folder_, "fp8", "llama");
  std::string text_ = folder_.write("text.txt", test::tiny_text()).string();
};

TEST_F(QuantizedInput, IsPrunedAsTheDenseModelThatItStandsFor) {
  const test::Outcome outcome = run("fp8");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string note =
      "the weights are stored as FP8 with a scale for each 16 x 32 block and read as bfloat16; the "
      "output holds bfloat16 without quantization_config";
  EXPECT_THAT(outcome.err, HasSubstr(note));
  ASSERT_EQ(run("dense").code, 0);
  EXPECT_TRUE(test::bytes(path("fp8-out") / "model.safetensors") ==
              test::bytes(path("dense-out") / "model.safetensors"));
  EXPECT_EQ(read_json(path("fp8-out") / "config.json"), read_json(path("dense") / "config.json"));
  const json model = test::read_report(path("fp8-out")).at("model");
  EXPECT_EQ(model.at("weight_format"), "FP8 with a scale for each 16 x 32 block");
  EXPECT_EQ(model.at("dtype"), "bfloat16");

  const test::Outcome plan = test::run_prune({"plan", "--model", fp8_.string(), "--target", "0.5"});
  EXPECT_THAT(plan.out, HasSubstr(note));
}

TEST_F(QuantizedInput, WhatIsNotPrunedIsDenseToo) {
  ASSERT_EQ(run("fp8", {"--exclude", "mlp"}).code, 0);
  const Tensors dense = test::tensors_of(dense_);
  const Tensors written = test::tensors_of(path("fp8-out"));
  EXPECT_EQ(written.size(), dense.size());
  for (const auto& [name, value] : dense) {
    const Tensor& other = written.at(name);
    EXPECT_EQ(other.scalar_type(), value.scalar_type()) << name;
    EXPECT_EQ(other.equal(value), name.find("self_attn") == std::string::npos) << name;
  }
}

TEST_F(QuantizedInput, IsInspectedEvaluatedAndQuantizedAnew) {
  const auto ask = [&](const std::string& command, const fs::path& model,
                       std::vector<std::string> more = {}) {
    more.insert(more.begin(), {command, "--model", model.string(), "--json", "--quiet"});
    const test::Outcome outcome = test::run_prune(more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  };
  const json layer = ask("inspect", fp8_).at("layers")[0];
  EXPECT_EQ(layer.at("dtype"), "fp8");
  EXPECT_EQ(layer.at("bytes"), 32 * 32 + 2 * 4);
  const std::vector<std::string> data = {"--data", text_, "--seqlen", "32", "--segments", "4"};
  EXPECT_EQ(ask("eval", fp8_, data).at("perplexity"), ask("eval", dense_, data).at("perplexity"));
  ASSERT_EQ(run("fp8", {"--wbits", "4", "--group-size", "-1"}).code, 0);
  EXPECT_EQ(read_json(path("fp8-out") / "config.json").at("quantization_config").at("format"),
            "pack-quantized");
}

TEST_F(QuantizedInput, ADenseModelMayClaimToBeQuantized) {
  configure({{"quant_method", "fp8"}}, "dense");
  const test::Outcome outcome = run("dense");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("describes no compressed weights in the files"));
  EXPECT_FALSE(read_json(path("dense-out") / "config.json").contains("quantization_config"));
}

TEST_F(QuantizedInput, WhatDoesNotFitIsSaidAtOnce) {
  const std::string layer = "model.layers.1.mlp.up_proj.weight";
  configure({{"quant_method", "fp8"}, {"weight_block_size", {0, 128}}});
  expect_refused("quantization_config: key 'weight_block_size' is [0,128], not two positive");
  configure({{"quant_method", "fp8"}, {"weight_block_size", {32, 32}}});
  expect_refused("_scale_inv' is float32 [");
  configure({{"quant_method", "awq"}});
  expect_refused("the checkpoint is quantized (quant_method 'awq'");
  configure({{"quant_method", "mxfp4"}});
  expect_refused("is stored as float8_e4m3fn; weights must be");
  configure({{"quant_method", "fp8"}, {"weight_block_size", {kRows, kCols}}});
  test::edit_tensors(fp8_, [&](Tensors& t) { t[layer + "_scale_inv"][0][0] = std::nan(""); });
  expect_refused("tensor '" + layer + "' holds nan at [0, 0]");
  test::edit_tensors(fp8_, [&](Tensors& t) { t.erase(layer + "_scale_inv"); });
  expect_refused("tensor '" + layer + "_scale_inv' is missing");
}

}  // namespace
}  // namespace prune
