#pragma once

#include <prune/checkpoint/checkpoint_writer.h>

#include <set>
#include <string>

#include "models/golden_model.h"

namespace prune::test {

/// Ones where row + col is odd.
inline Tensor checkerboard(int64_t rows, int64_t cols) {
  return (at::arange(rows).unsqueeze(1) + at::arange(cols)).remainder(2);
}

/// A golden model and its copy with zeros where row + col is even in every layer of the blocks, as
/// scripts/golden/recovery.py makes it.
class CheckerboardStudent {
 public:
  explicit CheckerboardStudent(const std::string& name)
      : golden_(name), teacher_(golden_.open()), student_(written()) {}

  const models::Model& teacher() const { return teacher_; }
  const models::Model& student() const { return student_; }
  const std::set<std::string>& layers() const { return layers_; }

 private:
  models::Model written() {
    const std::filesystem::path output = folder_.path() / "student";
    checkpoint::CheckpointWriter writer(teacher_.checkpoint(), output);
    for (int64_t block = 0; block < teacher_.config().blocks; ++block) {
      for (const models::LinearSpec& layer : teacher_.linears(block)) {
        const std::string name = teacher_.block_prefix(block) + layer.name;
        const Tensor weight = teacher_.stored_weight(name);
        const Tensor mask = checkerboard(weight.size(0), weight.size(1));
        writer.write(teacher_.stored(name), weight * mask.to(weight.scalar_type()));
        layers_.insert(name);
      }
    }
    writer.copy_rest();
    writer.commit();
    return models::Model::open(output, {.device = at::kCPU, .dtype = at::kFloat});
  }

  GoldenModel golden_;
  TemporaryFolder folder_;
  std::set<std::string> layers_;
  models::Model teacher_;
  models::Model student_;
};

}  // namespace prune::test
