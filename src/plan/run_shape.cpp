#include <prune/checkpoint/pack_quantized.h>
#include <prune/plan/run_shape.h>

namespace prune::plan {
namespace {

int64_t element_bytes(at::ScalarType dtype) {
  return static_cast<int64_t>(c10::elementSize(dtype));
}

}  // namespace

int64_t input_bytes(const RunShape& run) {
  return run.model.parameters * element_bytes(run.stored_dtype);
}

int64_t output_bytes(const RunShape& run) {
  int64_t size_bytes = input_bytes(run);
  if (!run.packed) return size_bytes;
  for (const std::vector<bool>& chosen : run.chosen) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (!chosen[i]) continue;
      const models::LinearSpec& layer = run.model.linears(0)[i];
      size_bytes -= layer.rows * layer.cols * element_bytes(run.stored_dtype);
      for (const checkpoint::TensorInfo& info : checkpoint::packed_infos(
               "", layer.rows, layer.cols, run.stored_dtype, run.solver.quantization)) {
        size_bytes += info.size_bytes;
      }
    }
  }
  return size_bytes;
}

int64_t states_bytes(const RunShape& run) {
  return run.tokens_of_a_rank() * run.model.config.hidden_size * element_bytes(run.dtype);
}

}  // namespace prune::plan
