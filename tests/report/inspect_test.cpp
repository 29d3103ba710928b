#include <prune/report/inspect.h>

#include <algorithm>

#include "support.h"

namespace prune::report {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ZeroPattern, IsTheStrictestThatEveryGroupSatisfies) {
  const auto of = [](std::vector<float> row) {
    return zero_pattern(at::tensor(row).view({1, -1}));
  };
  EXPECT_EQ(of({0, 1, 2, 0, 0, 3, 4, 0}), "1:2");
  EXPECT_EQ(of({0, 0, 2, 1, 5, 3, 0, 0}), "2:4");
  EXPECT_EQ(of({0, 0, 0, 0, 5, 3, 1, 2}), "4:8");
  EXPECT_EQ(of({0, 0, 0, 1, 5, 3, 1, 2}), "") << "one zero too few";
  EXPECT_EQ(of({0, 1, 0, 1, 0, 1}), "1:2") << "6 columns are not a multiple of 4";
  // Groups end with the row: columns are not counted across two rows.
  EXPECT_EQ(zero_pattern(at::tensor({1.F, 1.F, 0.F, 0.F, 1.F, 1.F}).view({2, 3})), "");
}

TEST(WeightHistogram, CountsKeptWeightsInQuartersOfTheirRootMeanSquare) {
  // The root mean square of 1 and -1 is 1, so both lie in bin 4.
  EXPECT_THAT(weight_histogram(at::tensor({1.F, 0.F, -1.F, 0.F}).view({2, 2})),
              ElementsAre(0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0));
  // 99 weights of 0.1 and one of 100 have a root mean square of 10.0005.
  Tensor weight = at::full({10, 10}, 0.1);
  weight[9][9] = 100;
  EXPECT_THAT(weight_histogram(weight), ElementsAre(99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(weight_histogram(at::zeros({2, 2})), testing::Each(0));
}

// A block of attention (four layers of 64 weights) and of a feed-forward (two of 128).
// @param zeros  in each row of 8
void add_block_(Inspection& inspection, int64_t block, int64_t zeros = 0,
                const std::string& pattern = "", const std::string& part = "attention") {
  const auto add = [&](const std::string& of, int64_t rows) {
    inspection.layers.push_back({.name = fmt::format("layers.{}.{}", block, of),
                                 .block = block,
                                 .part = of,
                                 .shape = {rows, 8},
                                 .dtype = "float16",
                                 .size_bytes = rows * 16,
                                 .zeros = zeros * rows,
                                 .pattern = pattern,
                                 .histogram = std::vector<int64_t>(kHistogramBins, 1)});
  };
  for (int i = 0; i < 4; ++i) add(part, 8);
  for (int i = 0; i < 2; ++i) add("feed-forward", 16);
}

Inspection some_model() {
  return {.model = {.id = "m",
                    .family = "llama",
                    .blocks = 30,
                    .hidden_size = 8,
                    .parameters = 20'000'000,
                    .dtype = "float16",
                    .files = {{"model.safetensors", 40'000'000}}},
          .embedding = {.tensors = 1,
                        .parameters = 4000,
                        .size_bytes = 8000,
                        .zeros = 40,
                        .dtype = "float16"},
          .tied_head = true,
          .others = {.tensors = 61, .parameters = 488, .size_bytes = 976}};
}

TEST(InspectTree, FoldsBlocksWithTheSameLayers) {
  Inspection model = some_model();
  for (int64_t block = 0; block < 30; ++block) add_block_(model, block, 4, "2:4");
  model.layers.back().zeros = 96;
  EXPECT_EQ(inspect_tree(model),
            "m: llama, 30 blocks, hidden size 8, 20.0 M parameters, float16, 38.15 MiB\n"
            "  file model.safetensors 38.15 MiB\n"
            "  part                          parameters       size    dtype  sparsity       N:M\n"
            "  embedding                          4.0 k   7.81 KiB  float16  0.0100\n"
            "  blocks 0-29                       15.4 k  30.00 KiB  float16  0.5000..0.7500 2:4\n"
            "    attention, 30 x 4 layers         7.7 k  15.00 KiB  float16  0.5000         2:4\n"
            "    feed-forward, 30 x 2 layers      7.7 k  15.00 KiB  float16  0.5000..0.7500 2:4\n"
            "  head: the embedding\n"
            "  other, 61 tensors                    488      976 B\n"
            "  sparsity 0.5021: 7712 of 15360 weights are zero\n");
}

TEST(InspectTree, KeepsBlocksApartThatDiffer) {
  Inspection model = some_model();
  model.tied_head = false;
  model.head = model.embedding;
  // Three mixers, then attention, ten times; the last block is stored in another dtype.
  for (int64_t block = 0; block < 40; ++block) {
    add_block_(model, block, block % 2, "", block % 4 == 3 ? "attention" : "mixer");
  }
  model.layers.back().dtype = "float32";
  model.layers.back().pattern = "1:2";
  const std::string tree = inspect_tree(model);
  EXPECT_THAT(tree, HasSubstr("\n  blocks 0-2, 4-6, ..., 36-38"));
  EXPECT_THAT(tree, HasSubstr("\n    mixer, 30 x 4 layers"));
  EXPECT_THAT(tree, HasSubstr("\n  blocks 3, 7, ..., 35"));
  EXPECT_THAT(tree, HasSubstr("\n  block 39 "));
  EXPECT_THAT(tree, ContainsRegex("feed-forward, 2 layers .* mixed  0\\.1250\n"));
  EXPECT_THAT(
      tree,
      HasSubstr("\n  head                               4.0 k   7.81 KiB  float16  0.0100\n"));
  EXPECT_LE(std::ranges::count(tree, '\n'), 24) << tree;
  model.head = {};
  EXPECT_THAT(inspect_tree(model), HasSubstr("\n  head: none\n"));
}

TEST(InspectTable, HasARowForEveryLayer) {
  Inspection model = some_model();
  for (int64_t block = 0; block < 30; ++block) add_block_(model, block);
  const std::string table = inspect_table(model);
  EXPECT_EQ(std::ranges::count(table, '\n'), 2 + 2 + 30 * 6 + 1);
  EXPECT_THAT(table,
              HasSubstr("\n  29.feed-forward       [16, 8]  float16      256 B   0.0000     █"));
}

}  // namespace
}  // namespace prune::report
