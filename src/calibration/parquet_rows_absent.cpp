#include <fmt/format.h>
#include <prune/core/error.h>

#include "parquet_rows.h"

namespace prune::calibration {

std::vector<std::string> read_parquet_rows(const std::filesystem::path& path,
                                           const std::optional<std::string>& /*field*/,
                                           TextDescription& /*about*/) {
  throw Error(ErrorKind::kInput,
              fmt::format("{}: this program was built without Parquet; run scripts/setup, which "
                          "installs Arrow, and rebuild with -DPRUNE_PARQUET=ON",
                          path.string()));
}

}  // namespace prune::calibration
