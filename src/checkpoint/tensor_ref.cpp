#include <prune/checkpoint/tensor_ref.h>

namespace prune::checkpoint {

Tensor TensorRef::in(const Tensor& stored) const {
  Tensor matrix = index < 0 ? stored : stored.select(0, index);
  if (transposed) matrix = matrix.t();
  const int64_t end = rows < 0 ? matrix.size(0) : first_row + (rows - 1) * row_step + 1;
  return matrix.slice(0, first_row, end, row_step);
}

}  // namespace prune::checkpoint
