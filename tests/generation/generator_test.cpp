// Greedy continuations of tiny random models against Transformers' generate (scripts/golden/generation.py).
#include <prune/checkpoint/checkpoint.h>
#include <prune/checkpoint/tensor_file.h>
#include <prune/generation/generator.h>
#include <prune/generation/sampler.h>

#include "models/golden_model.h"

namespace prune::generation {
namespace {

const json& golden_texts() {
  static const json kTexts = read_json(test::golden() / "generation/greedy.json");
  return kTexts;
}

class GoldenText : public testing::TestWithParam<std::string> {};

TEST_P(GoldenText, IsThatOfTransformers) {
  const auto want = golden_texts().at("cases").at(GetParam()).get<std::vector<int64_t>>();
  ASSERT_FALSE(want.empty());
  const test::GoldenModel golden(GetParam());
  Generator generator(golden.open());
  Sampler choose({});
  auto next = golden_texts().at("prompt").get<std::vector<int64_t>>();
  const int64_t prompt = std::ssize(next);
  std::vector<int64_t> got;
  while (got.size() < want.size()) {
    got.push_back(choose(generator.read(next)));
    next = {got.back()};
  }
  EXPECT_EQ(got, want);
  EXPECT_EQ(generator.length(), prompt + std::ssize(want) - 1);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenText, testing::ValuesIn(test::golden_cases()),
                         [](const auto& test) { return test.param; });

// The case with matrices of bfloat16, of which a part is zero.
class SparseCase {
 public:
  explicit SparseCase(const std::string& name) : golden_(name) {
    const std::filesystem::path& folder = golden_.path();
    std::vector<std::pair<std::string, Tensor>> tensors;
    {
      const auto source = checkpoint::Checkpoint::open(folder);
      for (const std::string& tensor : source.names()) {
        Tensor value = source.load(tensor).clone();
        if (value.is_floating_point() && value.dim() > 1) {
          value = value.masked_fill(value.abs().lt(value.abs().median()), 0.0).to(at::kBFloat16);
        }
        tensors.emplace_back(tensor, value);
      }
    }
    std::filesystem::remove(folder / "pytorch_model.bin");
    checkpoint::write_tensors(folder / "model.safetensors", tensors);
  }

  // Logits after a prompt and after each of its next tokens, [5, vocab_size].
  Tensor logits(models::ModelOptions::Linears linears) const {
    Generator generator(models::Model::open(golden_.path(), {.linears = linears}));
    std::vector<Tensor> rows;
    const Tensor ids = test::golden_ids()[0].contiguous();
    const auto* const from = ids.const_data_ptr<int64_t>();
    rows.push_back(generator.read({from, from + 12}));
    for (int64_t i = 12; i < 16; ++i) rows.push_back(generator.read({from[i]}));
    return at::stack(rows);
  }

  std::vector<MatrixUse> matrices() const {
    return Generator(models::Model::open(golden_.path(),
                                         {.linears = models::ModelOptions::Linears::kPacked}))
        .matrices();
  }

 private:
  test::GoldenModel golden_;
};

class PackedText : public testing::TestWithParam<std::string> {};

// The products are of the same numbers; only the sequence of float32 additions differs.
TEST_P(PackedText, HasTheLogitsOfDenseWeights) {
  const SparseCase sparse(GetParam());
  const Tensor dense = sparse.logits(models::ModelOptions::Linears::kDense);
  const Tensor packed = sparse.logits(models::ModelOptions::Linears::kPacked);
  const double scale = dense.abs().max().item<double>();
  EXPECT_LE((packed - dense).abs().max().item<double>(), 2e-5 * scale);
  for (const MatrixUse& matrix : sparse.matrices()) {
    EXPECT_NE(matrix.form, "float32");
    EXPECT_LT(matrix.size_bytes, 4 * matrix.elements + 4096);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PackedText, testing::ValuesIn(test::golden_cases()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace prune::generation
