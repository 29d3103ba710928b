#include <prune/checkpoint/checkpoint.h>
#include <prune/kernels/kept.h>
#include <prune/recovery/distiller.h>

#include "recovery/checkerboard.h"

namespace prune::recovery {
namespace {

using test::CheckerboardStudent;

/// What scripts/golden/recovery.py computed with PyTorch's autograd through Transformers' models.
const json& golden_gradients() {
  static const json kGradients = read_json(test::golden() / "recovery" / "gradients.json");
  return kGradients.at("cases");
}

Tensor final_hidden(const models::Model& model, const Tensor& ids) {
  Tensor hidden = model.load_embedding()->embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    hidden = model.load_block(block)->forward(hidden);
  }
  return hidden;
}

/// A distiller with all that it needs; gradients pass through `seen`.
struct Training {
  explicit Training(
      const CheckerboardStudent& models, SumOverRanks seen = [](Tensor&) {})
      : student(models.student(), models.layers(), testing::TempDir()),
        embedding(models.student().load_embedding()),
        teacher_head(models.teacher().load_head()),
        student_head(models.student().load_head()),
        distiller(student, {*embedding, *teacher_head, *student_head}, testing::TempDir(),
                  std::move(seen)) {}

  Student student;
  std::unique_ptr<models::Embedding> embedding;
  std::unique_ptr<models::Head> teacher_head;
  std::unique_ptr<models::Head> student_head;
  Distiller distiller;
};

class GradientsOf : public testing::TestWithParam<std::string> {};

TEST_P(GradientsOf, AreThoseOfTransformers) {
  const json& wanted = golden_gradients().at(GetParam());
  const CheckerboardStudent models(GetParam());
  std::vector<Tensor> gradients;
  Training training(models, [&](Tensor& gradient) { gradients.push_back(gradient.clone()); });
  const Tensor ids = test::golden_ids();
  const double loss = training.distiller.step_(ids, final_hidden(models.teacher(), ids),
                                               ids.numel(), {.number = 1, .rate = 0.0});
  const auto want = wanted.at("loss").get<double>();
  EXPECT_NEAR(loss / static_cast<double>(ids.numel()), want, 1e-4 * want);

  size_t next = 0;
  for (int64_t block = training.student.blocks() - 1; block >= 0; --block) {
    for (const Student::TrainedLayer& layer : training.student.trained(block)) {
      const json& linears = wanted.at("linears");
      // One case's file lacks the prefix of the canonical name.
      const bool stored = linears.contains(layer.name);
      const json& facts = linears.at(stored ? layer.name : layer.name.substr(layer.name.find('.') + 1));
      const auto rows = facts.at("rows").get<int64_t>();
      const auto cols = facts.at("cols").get<int64_t>();
      const Tensor gradient =
          kernels::scatter_kept(layer.kept.bits(), gradients.at(next++), {rows, cols}, at::kFloat)
              .to(at::kDouble);
      const Tensor pattern = (at::arange(rows, at::kDouble).mul(0.37).unsqueeze(1) +
                              at::arange(cols, at::kDouble).mul(0.11) + 0.5)
                                 .cos();
      const auto norm = facts.at("norm").get<double>();
      EXPECT_NEAR(gradient.norm().item<double>(), norm, 1e-3 * norm) << layer.name;
      EXPECT_NEAR((gradient * pattern).sum().item<double>(), facts.at("dot").get<double>(),
                  1e-3 * norm * std::sqrt(static_cast<double>(rows)))
          << layer.name;
    }
  }
  EXPECT_EQ(next, gradients.size());
}
INSTANTIATE_TEST_SUITE_P(Families, GradientsOf, testing::ValuesIn(test::golden_cases()),
                         [](const auto& name) { return name.param; });

TEST(Distiller, StepsAreThoseOfPyTorch) {
  const json golden = read_json(test::golden() / "recovery" / "step.json");
  const CheckerboardStudent models(golden.at("case").get<std::string>());
  Training training(models);
  std::vector<Tensor> rows;
  for (const json& row : golden.at("samples")) {
    rows.push_back(at::tensor(row.get<std::vector<int64_t>>(), at::kLong));
  }
  const Tensor samples = at::stack(rows);
  AdamStep step{.number = 0, .rate = 0.0};
  for (const json& batch : golden.at("batches")) {
    const Tensor ids =
        samples.index_select(0, at::tensor(batch.get<std::vector<int64_t>>(), at::kLong));
    const auto at = static_cast<size_t>(step.number++);
    step.rate = golden.at("rates").at(at).get<double>();
    const double loss =
        training.distiller.step_(ids, final_hidden(models.teacher(), ids), ids.numel(), step);
    EXPECT_NEAR(loss / static_cast<double>(ids.numel()), golden.at("losses").at(at).get<double>(),
                1e-5);
  }
  const auto file = checkpoint::open_safetensors(test::golden() / "recovery" / "step.safetensors");
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const std::string& name = file->tensors()[i].name;
    bool found = false;
    for (int64_t block = 0; block < training.student.blocks(); ++block) {
      for (const Student::TrainedLayer& layer : training.student.trained(block)) {
        if (layer.name + ".weight" != name && layer.name != name) continue;
        found = true;
        const Tensor off = layer.kept.weight(at::kFloat) - file->load(i);
        EXPECT_LT(off.abs().max().item<double>(), 2e-6) << name;
      }
    }
    EXPECT_TRUE(found) << name;
  }
}

}  // namespace
}  // namespace prune::recovery
