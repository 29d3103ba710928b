#pragma once

#include <prune/checkpoint/checkpoint.h>
#include <prune/checkpoint/weight_format.h>

#include <string>
#include <vector>

namespace prune::checkpoint {

/// A weight that is stored as several tensors, and how it becomes dense.
struct WeightParts {
  TensorInfo dense;  ///< of the weight; its file is that of the first part
  /// Tensors that `decode` takes, in this sequence. The first one's name begins with the weight's name.
  std::vector<std::string> names;
  std::vector<std::string> obsolete;  ///< tensors that say nothing about a dense weight
  std::string form;                   ///< "int4", "fp8", "fp4"
  WeightDecoder decode;
};

/// Finds the weights of `source` that are stored in `format`. Reads only names, dtypes and shapes, and for
/// pack-quantized weights their shape.
/// @throws Error(input) naming file and tensor if a part is missing or does not match the others
std::vector<WeightParts> find_weight_parts(const Checkpoint& source, const WeightFormat& format);

}  // namespace prune::checkpoint
