#include <prune/core/json_file.h>
#include <prune/report/run_report.h>

#include "support.h"

namespace prune::report {
namespace {

using test::error_of;
using testing::HasSubstr;

// Every field differs from its default.
RunReport full_report() {
  RunReport report;
  report.prune_version = "0.9";
  report.prune_commit = "abcdef";
  report.command_line = "prune --model x";
  report.options = {{"solver", "alps"}, {"refine", 3}};
  report.model = {.id = "m",
                  .hub_id = "org/m",
                  .family = "opt",
                  .blocks = 12,
                  .hidden_size = 8,
                  .parameters = 1000,
                  .dtype = "float16",
                  .computing_dtype = "float32",
                  .files = {{"model.safetensors", 2000}}};
  report.calibration = {.source = "text, rows", .nsamples = 4, .seqlen = 64, .sha256 = "aa"};
  report.calibration.texts = {
      {.name = "text", .kind = "text", .bos = true, .tokens = 900, .samples = 3},
      {.name = "rows",
       .kind = "JSON rows",
       .encoding = "UTF-16LE",
       .compression = "zstd",
       .field = "content",
       .joined_by = "\n",
       .rows = 9,
       .blank_lines = 1,
       .null_rows = 2,
       .empty_rows = 3,
       .rows_cut = 4,
       .line_ends_replaced = 5,
       .tokens_cut = 6,
       .short_rows = 7,
       .samples = 1,
       .guesses = {"a guess"}}};
  report.fingerprint = {{"threads", 2}};
  report.device = "cpu";
  report.world_size = 2;
  report.candidates = {{.kind = "uniform", .spread = 0.5, .losses = {1.5, 2.5}, .perplexity = 9.5}};
  report.schedule = {
      .kind = "kmeans",
      .groups = {{.centroid = -1.5, .sparsity = 0.7}, {.centroid = 1, .sparsity = 0.3}},
      .layers = {}};
  // In model order, which is not the order of the names.
  const std::vector<std::string> names = {"model.layers.2.fc1", "model.layers.11.fc2",
                                          "model.layers.11.fc1"};
  for (size_t i = 0; i < names.size(); ++i) {
    LayerReport layer;
    layer.name = names[i];
    layer.rows = 3;
    layer.cols = 7;
    layer.group = i > 0 ? 1 : 0;
    layer.sparsity_asked = 7.0 / 21.0;
    layer.zeros = 8;
    layer.rounded_to_zero = 1;
    if (i == 0) layer.loss_estimated = 1.25;
    if (i == 0) layer.energy = 10.5;
    layer.loss_measured = 2.5;
    layer.loss_rounding = 0.3;
    layer.damp_used = 0.01;
    layer.damp_raises = 2;
    layer.admm_steps = 40;
    layer.refine_steps = 3;
    layer.refine_residual = 0.125;
    layer.sha256 = "bb";
    layer.elapsed_s = 0.5;
    report.schedule.layers.push_back({.name = layer.name,
                                      .block = layer.block(),
                                      .group = layer.group,
                                      .weights = 21,
                                      .zeros = 7});
    report.layers.push_back(layer);
  }
  report.fallbacks = {{.where = "device", .what = "no CUDA"}};
  report.dense = evaluation::PerplexityResult{.perplexity = 10.5,
                                              .source = "books",
                                              .sha256 = "cc",
                                              .seqlen = 64,
                                              .segments = 3,
                                              .tokens = 192,
                                              .dtype = "float16"};
  report.dense->texts = {{.name = "books", .kind = "text", .tokens = 200, .tokens_cut = 8}};
  report.pruned = report.dense;
  report.pruned->perplexity = 12.5;
  report.elapsed_s = {{"open", 0.5}, {"prune", 2.5}};
  report.peak_host_bytes = 1 << 20;
  report.peak_device_bytes = 1 << 10;
  report.output = {.folder = "out", .size_bytes = 3000, .files = {{"model.safetensors", 2500}}};
  report.ranks = {{.samples = 2,
                   .hessian_tokens = 128,
                   .hessian_flops = 1e9,
                   .sent_hessian_bytes = 1,
                   .sent_weight_bytes = 2,
                   .sent_other_bytes = 3,
                   .peak_host_bytes = 4},
                  {.samples = 2}};
  return report;
}

TEST(ReadReport, GivesBackTheWrittenReport) {
  const RunReport report = full_report();
  const RunReport read = read_report(parse_json(json_text(to_json(report))));
  EXPECT_EQ(to_json(read), to_json(report));
  EXPECT_EQ(read.calibration, report.calibration);
  EXPECT_EQ(read.dense->texts, report.dense->texts);
  ASSERT_EQ(read.schedule.layers.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read.schedule.layers[i].name, report.schedule.layers[i].name);
    EXPECT_EQ(read.schedule.layers[i].block, report.schedule.layers[i].block);
    EXPECT_EQ(read.schedule.layers[i].zeros, 7);
  }
}

TEST(ReadReport, OfAnUnfinishedRunHasTheScheduleOfItsFinishedLayers) {
  RunReport report = full_report();
  report.layers.resize(2);
  report.output = std::nullopt;
  report.dense = report.pruned = std::nullopt;
  report.model.hub_id = "";
  const RunReport read = read_report(to_json(report));
  EXPECT_EQ(read.schedule.layers.size(), 2U);
  EXPECT_FALSE(read.output || read.dense || read.pruned);
  const json written = to_json(report);
  EXPECT_TRUE(written.at("output").is_null());
  EXPECT_TRUE(written.at("evaluation").is_null());
  EXPECT_FALSE(written.at("model").contains("hub_id"));
}

TEST(ReadReport, OfAnEarlierVersionMayLackKeys) {
  json written = to_json(full_report());
  for (const char* key : {"fingerprint", "world_size", "ranks", "schedule_candidates", "output"}) {
    written.erase(key);
  }
  written.at("calibration").erase("texts");
  written.at("evaluation").erase("texts");
  for (json& layer : written.at("layers")) {
    for (const char* key : {"damp_raises", "admm_steps", "refine_steps", "refine_residual",
                            "rounded_to_zero", "loss_rounding", "sha256"}) {
      layer.erase(key);
    }
  }
  const RunReport read = read_report(written);
  EXPECT_EQ(read.world_size, 1);
  EXPECT_TRUE(read.calibration.texts.empty());
  EXPECT_TRUE(read.dense->texts.empty());
  EXPECT_EQ(read.layers.front().damp_raises, 0);
  EXPECT_EQ(read.layers.front().refine_residual, 1.0);
}

TEST(ReadReport, NamesTheKeyThatIsWrong) {
  const auto refusal = [](const std::function<void(json&)>& spoil) {
    json written = to_json(full_report());
    spoil(written);
    return error_of(ErrorKind::kInput, [&] { read_report(written); });
  };
  EXPECT_THAT(refusal([](json& r) { r["schema"] = 2; }), HasSubstr("'schema' is not 1"));
  EXPECT_THAT(refusal([](json& r) { r.at("model").erase("family"); }), HasSubstr("'family'"));
  EXPECT_THAT(refusal([](json& r) { r["elapsed_s"] = 1; }), HasSubstr("'elapsed_s'"));
  EXPECT_THAT(refusal([](json& r) { r["layers"][1]["shape"] = {1}; }), HasSubstr("'shape'"));
  EXPECT_THAT(refusal([](json& r) { r["calibration"]["texts"][0]["rows"] = "x"; }),
              HasSubstr("'rows'"));
  EXPECT_THAT(refusal([](json& r) { r["prune"].erase("version"); }), HasSubstr("'version'"));
}

TEST(Restore, AddsUpTimesAndKeepsTheEarlierResults) {
  const RunReport earlier = full_report();
  RunReport report;
  report.device = "cuda";
  report.elapsed_s = {{"open", 1.0}};
  report.peak_host_bytes = 1 << 21;
  report.fallbacks = {earlier.fallbacks.front(), {.where = "fc1", .what = "damp raised"}};
  restore_(report, to_json(earlier));
  EXPECT_EQ(report.prune_version, version()) << "this process writes the report";
  EXPECT_EQ(report.device, "cpu");
  EXPECT_EQ(report.layers.size(), 3U);
  EXPECT_EQ(report.elapsed_s.at("open"), 1.5);
  EXPECT_EQ(report.peak_host_bytes, 1 << 21);
  EXPECT_EQ(report.peak_device_bytes, 1 << 10);
  EXPECT_EQ(report.fallbacks.size(), 2U);
  EXPECT_EQ(report.pruned->perplexity, 12.5);
  EXPECT_TRUE(report.schedule.layers.empty());
}

TEST(GuessesOf, NameTheirTextAndStandOnce) {
  calibration::TokenSet tokens;
  tokens.texts = {
      {.name = "a", .guesses = {"x", "y"}}, {.name = "b"}, {.name = "a", .guesses = {"x"}}};
  EXPECT_EQ(guesses_of(tokens), (std::vector<Fallback>{{"a", "x"}, {"a", "y"}}));
}

TEST(LayerReport, TakesItsBlockFromItsName) {
  const auto block_of = [](const char* name) { return LayerReport{.name = name}.block(); };
  EXPECT_EQ(block_of("model.decoder.layers.11.fc1"), 11);
  EXPECT_EQ(block_of("h.3.mlp.4.up"), 3);
  EXPECT_EQ(block_of("h.3x.fc1"), 0);
  EXPECT_EQ(block_of("fc1"), 0);
}

}  // namespace
}  // namespace prune::report
