#include <fmt/format.h>
#include <prune/schedule/schedule.h>

#include <cmath>

#include "support.h"

namespace prune::schedule {
namespace {

using test::error_of;
using testing::HasSubstr;

// Blocks of two layers; the second one writes the stream.
std::vector<LayerInput> make_layers(const std::vector<double>& block_losses,
                                    int64_t weights = 1000) {
  std::vector<LayerInput> layers;
  for (size_t b = 0; b < block_losses.size(); ++b) {
    const auto block = static_cast<int64_t>(b);
    const std::string prefix = "block." + std::to_string(b);
    layers.push_back({prefix + ".fc1", block, 3 * weights, false, 777.0, 1.0});
    layers.push_back({prefix + ".fc2", block, weights, true, block_losses[b], 2.0});
  }
  return layers;
}

TEST(ScheduleKind, WordsAndKindsMatch) {
  for (const char* word : {"uniform", "kmeans", "auto", "owl", "depth", "kept"}) {
    EXPECT_STREQ(kind_name(parse_kind(word)), word);
  }
  EXPECT_EQ(parse_kind("file:schedules/a.json"), ScheduleKind::kFile);
  EXPECT_STREQ(kind_name(ScheduleKind::kFile), "file");
}

TEST(ScheduleKind, UnknownWordIsAnErrorThatListsTheKnown) {
  const std::vector<std::pair<std::string, std::string>> words = {
      {"x", ""},
      {"", ""},
      {"file", ""},
      {"file:", ""},
      {"Kmeans", "; did you mean 'kmeans'?"},
      {"kmeans ", "; did you mean 'kmeans'?"}};
  for (const auto& [word, hint] : words) {
    EXPECT_EQ(error_of(ErrorKind::kUsage, [name = word] { parse_kind(name); }),
              fmt::format("schedule '{}' is not one of uniform, kmeans, auto, owl, depth, kept, "
                          "file:PATH{}",
                          word, hint));
  }
}

TEST(KmeansSchedule, ANormAfterTheLayerTakesItsScaleAway) {
  // The second block's output is a hundred times as large as the first's, and so is its error; the norm makes both the
  // same.
  auto layers = make_layers({1, 100});
  for (LayerInput& layer : layers) {
    layer.energy = 50 * layer.loss;
    layer.energy_after_norm = 7.0;
  }
  const SparsitySchedule schedule =
      kmeans_schedule(layers, {1.0, 1.0}, {.target = 0.5, .groups = 2});
  for (const LayerSparsity& layer : schedule.layers) EXPECT_NEAR(layer.sparsity(), 0.5, 0.01);
}

TEST(KeptSchedule, AsksForTheZerosThatThereAre) {
  const auto layers = make_layers({1, 2}, 10);
  std::vector<int64_t> zeros(layers.size(), 0);
  zeros[1] = 13;
  const SparsitySchedule schedule = kept_schedule(layers, zeros);
  EXPECT_EQ(schedule.kind, "kept");
  EXPECT_EQ(schedule.layers[1].zeros, 13);
  EXPECT_EQ(schedule.zeros(), 13);
  EXPECT_TRUE(schedule.groups.empty());
}

TEST(UniformSchedule, ReachesTheTargetToOneWeight) {
  const auto layers = make_layers({1, 2, 3}, 37);
  for (const double target : {0.0, 0.1, 0.5, 0.7, 0.999}) {
    const SparsitySchedule schedule = uniform_schedule(layers, target);
    EXPECT_EQ(schedule.zeros(), std::llround(target * 3 * 4 * 37));
    for (const LayerSparsity& layer : schedule.layers) {
      EXPECT_NEAR(static_cast<double>(layer.zeros), target * static_cast<double>(layer.weights),
                  1.0);
    }
  }
}

TEST(KmeansSchedule, LargerLossMeansLowerSparsity) {
  const auto layers = make_layers({100, 1, 10});
  const SparsitySchedule schedule =
      kmeans_schedule(layers, {1, 1, 1}, {.target = 0.7, .groups = 3, .spread = 0.1});
  // Log losses 2, 0, 1 (times ln 10) give raw sparsities -0.2, 0, -0.1; a shift of 0.8 reaches the
  // target.
  EXPECT_NEAR(schedule.layers[0].sparsity(), 0.6, 1e-3);
  EXPECT_NEAR(schedule.layers[2].sparsity(), 0.8, 1e-3);
  EXPECT_NEAR(schedule.layers[4].sparsity(), 0.7, 1e-3);
  EXPECT_EQ(schedule.layers[0].group, 2);
  EXPECT_EQ(schedule.layers[2].group, 0);
  EXPECT_EQ(schedule.zeros(), std::llround(0.7 * 12000));
}

TEST(KmeansSchedule, StreamLossIsRelativeToTheStreamsEnergy) {
  // Block 0 loses 100 times more but into a stream with 10000 times the energy, so its value is
  // smaller.
  const auto layers = make_layers({100, 1});
  const SparsitySchedule schedule =
      kmeans_schedule(layers, {10000, 1}, {.target = 0.5, .groups = 2, .spread = 0.1});
  EXPECT_GT(schedule.layers[0].sparsity(), schedule.layers[2].sparsity());
}

TEST(KmeansSchedule, ClampsAndStillReachesTheTarget) {
  // Five blocks with small losses and one with a large one at a high target: without the clamp the
  // five exceed 0.99.
  const auto layers = make_layers({1000, 1, 1, 1, 1, 1});
  const ScheduleOptions options{.target = 0.95, .groups = 2, .spread = 0.2};
  const SparsitySchedule schedule = kmeans_schedule(layers, {1, 1, 1, 1, 1, 1}, options);
  EXPECT_EQ(schedule.zeros(), std::llround(0.95 * 24000));
  for (const LayerSparsity& layer : schedule.layers) EXPECT_LE(layer.sparsity(), 0.9905);
  // D bounds the distance: [S - 1.5 D, S + 1.5 D].
  EXPECT_GE(schedule.layers[0].sparsity(), 0.65 - 1e-3);
}

TEST(KmeansSchedule, EqualLossesAndZeroSpreadAreUniform) {
  for (const SparsitySchedule& schedule :
       {kmeans_schedule(make_layers({5, 5, 5}), {1, 1, 1}, {.target = 0.7}),
        kmeans_schedule(make_layers({5, 50, 500}), {1, 1, 1}, {.target = 0.7, .spread = 0.0})}) {
    for (const LayerSparsity& layer : schedule.layers) EXPECT_NEAR(layer.sparsity(), 0.7, 1e-3);
  }
}

TEST(KmeansSchedule, TargetZeroAndAZeroLayer) {
  const auto layers = make_layers({0, 5, 50});
  EXPECT_EQ(kmeans_schedule(layers, {1, 1, 1}, {.target = 0.0}).zeros(), 0);
  const SparsitySchedule schedule = kmeans_schedule(layers, {1, 1, 1}, {.target = 0.5});
  EXPECT_EQ(schedule.zeros(), 6000);
  EXPECT_EQ(schedule.layers[0].group, schedule.layers[2].group)
      << "a loss of 0 counts as the smallest";
}

TEST(KmeansSchedule, LevelAndKindOfLoss) {
  const auto layers = make_layers({1, 100});
  const SparsitySchedule by_layer = kmeans_schedule(layers, {1, 1},
                                                    {.target = 0.5,
                                                     .groups = 4,
                                                     .spread = 0.1,
                                                     .loss = LossKind::kAbsolute,
                                                     .level = Level::kLayer});
  EXPECT_GT(by_layer.layers[1].sparsity(), by_layer.layers[0].sparsity()) << "loss 1 against 777";
  EXPECT_GT(by_layer.layers[1].sparsity(), by_layer.layers[3].sparsity());
  EXPECT_EQ(by_layer.zeros(), 4000);
}

TEST(KmeansSchedule, NotFiniteLossNamesItsLayer) {
  auto layers = make_layers({1, 2});
  layers[3].loss = std::nan("");
  EXPECT_THAT(error_of(ErrorKind::kNumeric,
                       [&] {
                         kmeans_schedule(layers, {1, 1}, {});
                       }),
              HasSubstr("block.1.fc2"));
}

TEST(ScheduleFile, IsReadBackAsItWasWritten) {
  const test::TemporaryFolder folder;
  const auto layers = make_layers({100, 1, 10}, 123);
  const SparsitySchedule written = kmeans_schedule(layers, {1, 1, 1}, {.target = 0.7, .groups = 3});
  for (const nlohmann::json& content :
       {schedule_json(written), nlohmann::json{{"schedule", schedule_json(written)}}}) {
    const SparsitySchedule read = read_schedule(folder.write("s.json", content.dump()), layers);
    ASSERT_EQ(read.layers.size(), written.layers.size());
    for (size_t i = 0; i < read.layers.size(); ++i) {
      EXPECT_EQ(read.layers[i].zeros, written.layers[i].zeros);
    }
  }
}

TEST(OwlSchedule, MoreOutliersMeanLowerSparsity) {
  const auto layers = make_layers({1, 1, 1});
  const SparsitySchedule schedule =
      owl_schedule(layers, {0.01, 0.05, 0.02}, {.target = 0.6, .spread = 0.08});
  // OWL: 2 lambda times the share scaled to [0, 1], around the mean.
  const std::vector<double> scaled = {0.0, 1.0, 0.25};
  for (size_t b = 0; b < 3; ++b) {
    const double wanted = 0.6 - 0.16 * (scaled[b] - 1.25 / 3);
    EXPECT_NEAR(schedule.layers[2 * b].sparsity(), wanted, 1e-3);
    EXPECT_NEAR(schedule.layers[2 * b + 1].sparsity(), wanted, 1e-3);
  }
  EXPECT_EQ(schedule.zeros(), std::llround(0.6 * 12000));
}

TEST(OwlSchedule, BlocksWithNoLayerToPruneDoNotCount) {
  auto layers = make_layers({1, 1, 1});
  layers.erase(layers.begin() + 2, layers.begin() + 4);
  const SparsitySchedule schedule =
      owl_schedule(layers, {0.01, 0.0, 0.03}, {.target = 0.5, .spread = 0.1});
  EXPECT_NEAR(schedule.layers[0].sparsity(), 0.6, 1e-3);
  EXPECT_NEAR(schedule.layers[2].sparsity(), 0.4, 1e-3);
}

TEST(DepthSchedule, LaterBlocksAreSparserInEqualSteps) {
  const SparsitySchedule schedule =
      depth_schedule(make_layers({5, 1, 9, 2, 3}), {.target = 0.5, .spread = 0.1});
  for (size_t b = 0; b < 5; ++b) {
    EXPECT_NEAR(schedule.layers[2 * b].sparsity(), 0.4 + 0.05 * static_cast<double>(b), 1e-3);
  }
}

TEST(ScheduleFile, Errors) {
  const test::TemporaryFolder folder;
  const auto layers = make_layers({1});
  const auto message = [&](const std::string& content) {
    return error_of(ErrorKind::kInput,
                    [&] { read_schedule(folder.write("s.json", content), layers); });
  };
  EXPECT_THAT(message("{}"), HasSubstr("s.json: key 'layers' is missing"));
  EXPECT_THAT(message(R"({"layers": {"block.0.fc1": 0.5}})"),
              HasSubstr("'block.0.fc2' is missing"));
  EXPECT_THAT(message(R"({"layers": {"block.0.fc1": 0.5, "block.0.fc2": 1.5}})"),
              HasSubstr("sparsity 1.5"));
  EXPECT_THAT(
      message(R"({"layers": {"block.0.fc1": 0.5, "block.0.fc2": 0.5, "block.0.fc3": 0.5}})"),
      HasSubstr("'block.0.fc3' is not in the model; the nearest name is 'block.0.fc"));
  EXPECT_THAT(message("[1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message(R"({"layers": [0.5]})"),
              HasSubstr("s.json: 'layers' is not a JSON object of layer names and sparsities"));
}

}  // namespace
}  // namespace prune::schedule
