#include <prune/calibration/text_source.h>

#include "support.h"

namespace prune::calibration {
namespace {

TEST(Parquet, ABuildWithoutItSaysHowToGetIt) {
  const std::filesystem::path path = test::golden() / "calibration/rows.parquet";
  const std::string error = test::error_of(ErrorKind::kInput, [&] { load_text(path); });
  EXPECT_THAT(error, testing::AllOf(testing::HasSubstr("rows.parquet: "),
                                    testing::HasSubstr("built without Parquet"),
                                    testing::HasSubstr("-DPRUNE_PARQUET=ON")));
}

}  // namespace
}  // namespace prune::calibration
