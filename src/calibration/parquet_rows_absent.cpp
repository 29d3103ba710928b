#include <fmt/format.h>
#include <prune/calibration/row_objects.h>
#include <prune/core/error.h>

#include "parquet_rows.h"

namespace prune::calibration {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path) {
  throw Error(ErrorKind::kInput,
              fmt::format("{}: this program was built without Parquet; run scripts/setup, which "
                          "installs Arrow, and rebuild with -DPRUNE_PARQUET=ON",
                          path.string()));
}

}  // namespace

bool reads_parquet() { return false; }

void read_parquet_rows(const std::filesystem::path& path,
                       const std::optional<std::string>& /*field*/,
                       const chat::TemplateChoice& /*templates*/, TextSource& /*source*/) {
  refuse(path);
}

void for_each_parquet_row(const std::filesystem::path& path,
                          const std::vector<std::string>& /*keys*/,
                          const std::function<void(const nlohmann::ordered_json&)>& /*row*/) {
  refuse(path);
}

}  // namespace prune::calibration
