// Layers that share stored tensors: each is recorded and resumed on its own.
#include <prune/journal/layer_writer.h>

#include "models/stacked_model.h"

namespace prune::journal {
namespace {

class StackedLayers : public testing::Test {
 protected:
  /// What one process does of the run: prunes these layers (halves their weights) and ends.
  /// @return the layers that it found finished
  std::set<std::string> run(bool resume, const std::vector<std::string>& layers, bool to_the_end) {
    const RunInputs inputs{.model = stacked_.open(),
                           .chosen = {"all"},
                           .calibration = {.ids = at::zeros({1, 4}, at::kLong)},
                           .evaluation = std::nullopt};
    dist::Communicator alone;
    Journal journal(inputs, {.output = folder_.path() / "out", .resume = resume}, {}, alone);
    std::set<std::string> finished;
    const auto block = inputs.model.load_block(0);
    LayerWriter writer(journal);
    for (models::Linear& layer : block->linears()) {
      if (journal.has(layer.name)) finished.insert(layer.name.substr(layer.name.rfind('.') + 1));
      if (std::ranges::none_of(layers,
                               [&](const std::string& l) { return layer.name.ends_with(l); }))
        continue;
      writer.add({.stored = layer.weight * 0.5},
                 {.name = layer.name, .rows = layer.weight.size(0), .cols = layer.weight.size(1)});
    }
    writer.finish();
    const auto again = inputs.model.load_block(0);
    journal.restore_(*again, inputs.model);
    for (size_t i = 0; i < again->linears().size(); ++i) {
      const models::Linear& layer = again->linears()[i];
      const double factor = journal.has(layer.name) ? 0.5 : 1.0;
      EXPECT_TRUE(at::equal(layer.weight, block->linears()[i].weight * factor)) << layer.name;
    }
    if (to_the_end) {
      journal.writer().copy_rest();
      journal.writer().commit();
    }
    return finished;
  }

  Tensor written(const std::string& name) const {
    return checkpoint::Checkpoint::open(folder_.path() / "out").load("model.layers.0.mlp." + name);
  }

  test::StackedModel stacked_;
  test::TemporaryFolder folder_;
};

TEST_F(StackedLayers, AreResumedOneByOne) {
  EXPECT_THAT(run(false, {"gate_proj"}, false), testing::IsEmpty());
  EXPECT_THAT(run(true, {"down_proj"}, false), testing::ElementsAre("gate_proj"));
  EXPECT_THAT(run(true, {}, true), testing::UnorderedElementsAre("gate_proj", "down_proj"));
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(stacked_.path());
  Tensor gate_up = source.load("model.layers.0.mlp.experts.gate_up_proj").clone();
  gate_up[1].slice(1, 0, gate_up.size(2), 2).mul_(0.5);
  EXPECT_TRUE(at::equal(written("experts.gate_up_proj"), gate_up))
      << "up and the other expert stay";
  Tensor down = source.load("model.layers.0.mlp.experts.down_proj").clone();
  down[1].mul_(0.5);
  EXPECT_TRUE(at::equal(written("experts.down_proj"), down));
}

}  // namespace
}  // namespace prune::journal
