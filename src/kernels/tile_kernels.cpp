#include <prune/kernels/instruction_set.h>

#include "tiles.h"

namespace prune::kernels::detail {

const TileKernels& tile_kernels() {
  if (expands_bytes()) return tile_kernels_avx512();
  return instruction_set() == InstructionSet::kPortable ? tile_kernels_portable()
                                                        : tile_kernels_avx2();
}

}  // namespace prune::kernels::detail
