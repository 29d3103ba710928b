#include <prune/checkpoint/checkpoint_writer.h>

#include "support.h"

namespace prune::checkpoint {
namespace {

TEST(Smoke, FixtureRoundTrip) {
  const test::TemporaryFolder folder;
  const Checkpoint source = Checkpoint::open(test::fixtures() / "opt-books-6m");
  CheckpointWriter writer(source, folder.path() / "out");
  writer.copy_rest();
  writer.commit();
  const Checkpoint copy = Checkpoint::open(folder.path() / "out");
  EXPECT_EQ(copy.names().size(), source.names().size());
  for (const auto& name : copy.names()) EXPECT_TRUE(at::equal(copy.load(name), source.load(name)));
}

}  // namespace
}  // namespace prune::checkpoint
