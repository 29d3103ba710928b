#include <prune/calibration/row_objects.h>
#include <prune/core/json_file.h>

#include "json_rows.h"
#include "parquet_rows.h"
#include "text_kind.h"
#include "text_reader.h"

namespace prune::calibration {

void for_each_row_object(const std::filesystem::path& path, const std::vector<std::string>& keys,
                         const std::function<void(const nlohmann::ordered_json&)>& row) {
  const TextKind kind = kind_of(path);
  if (kind == TextKind::kParquet) return for_each_parquet_row(path, keys, row);
  TextReader reader(path, path.string());
  const JsonForm form = kind == TextKind::kJson ? JsonForm::kAny : JsonForm::kLines;
  for_each_json_row(reader, form, keys.front(),
                    [&](std::string_view raw) { row(parse_ordered_json(raw)); });
}

}  // namespace prune::calibration
