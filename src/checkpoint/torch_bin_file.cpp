#include <prune/checkpoint/checkpoint.h>
#include <prune/core/error.h>

namespace prune::checkpoint {

std::unique_ptr<TensorFile> open_torch_bin(const std::filesystem::path& path) {
  throw Error(ErrorKind::kInput, path.string() + ": the .bin format is not yet supported");
}

}  // namespace prune::checkpoint
