#include <prune/checkpoint/pack_quantized.h>
#include <prune/plan/run_shape.h>

namespace prune::plan {
namespace {

int64_t element_bytes(at::ScalarType dtype) {
  return static_cast<int64_t>(c10::elementSize(dtype));
}

// GPT-2's blocks can differ in nothing but the scale of their scores.
bool cost_the_same(models::BlockSpec one, const models::BlockSpec& other) {
  const auto reads = [](const models::BlockSpec& block) {
    return block.attention.key_reuse == models::KeyReuse::kReads;
  };
  if (reads(one) != reads(other)) return false;
  // To store keys and values for other blocks, and where, costs a copy.
  one.attention.key_reuse = other.attention.key_reuse;
  one.attention.carried_at = other.attention.carried_at;
  one.attention.scale = other.attention.scale;
  return one == other;
}

}  // namespace

std::map<BlockKind, double> RunShape::kinds_of_block() const {
  std::map<BlockKind, double> kinds;
  std::vector<int64_t> examples;
  for (int64_t block = 0; block < blocks(); ++block) {
    const auto same = std::ranges::find_if(examples, [&](int64_t example) {
      return cost_the_same(model.block(example), model.block(block));
    });
    const int64_t example = same == examples.end() ? block : *same;
    if (example == block) examples.push_back(block);
    kinds[{.example = example, .chosen = chosen.at(static_cast<size_t>(block))}] += 1.0;
  }
  return kinds;
}

namespace {

// Of the model that is written, dense.
int64_t model_bytes(const RunShape& run) {
  return run.model.parameters * element_bytes(run.stored_dtype);
}

}  // namespace

int64_t input_bytes(const RunShape& run) {
  return model_bytes(run) + run.choice.elements * element_bytes(run.stored_dtype);
}

int64_t output_bytes(const RunShape& run) {
  int64_t size_bytes = model_bytes(run);
  if (!run.packed) return size_bytes;
  for (int64_t block = 0; block < run.blocks(); ++block) {
    const std::vector<bool>& chosen = run.chosen[static_cast<size_t>(block)];
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (!chosen[i]) continue;
      const models::LinearSpec& layer = run.model.linears(block)[i];
      size_bytes -= layer.rows * layer.cols * element_bytes(run.stored_dtype);
      for (const checkpoint::TensorInfo& info : checkpoint::packed_infos(
               "", layer.rows, layer.cols, run.stored_dtype, run.solver.quantization)) {
        size_bytes += info.size_bytes;
      }
    }
  }
  return size_bytes;
}

int64_t recovery_bytes(const RunShape& run) {
  if (run.recovery.steps == 0) return 0;
  double kept = 0.0;
  for (int64_t block = 0; block < run.blocks(); ++block) {
    const std::vector<bool>& chosen = run.chosen[static_cast<size_t>(block)];
    for (size_t i = 0; i < chosen.size(); ++i) {
      const models::LinearSpec& layer = run.model.linears(block)[i];
      if (chosen[i])
        kept += (1.0 - run.solver.sparsity) * static_cast<double>(layer.rows * layer.cols);
    }
  }
  constexpr double kStates = 2.0 * 3.0 * sizeof(float);
  return static_cast<int64_t>(kStates * kept) +
         (run.solver.quantization.on() ? model_bytes(run) : 0);
}

int64_t states_bytes(const RunShape& run) {
  return run.tokens_of_a_rank() * run.model.config.stream_size() * element_bytes(run.dtype);
}

}  // namespace prune::plan
