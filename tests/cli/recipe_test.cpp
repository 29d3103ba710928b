#include <sys/wait.h>

#include "cli/program.h"

namespace prune {
namespace {

using testing::HasSubstr;

class Recipe : public testing::Test {
 protected:
  std::vector<std::string> with_recipe(const std::string& recipe,
                                       std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"--config", folder_.write("recipe.json", recipe).string(),
                                          "--model",  test::model_folder(),
                                          "--output", (folder_.path() / "out").string(),
                                          "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Recipe, KeysAreFlagsAndFlagsOverrideThem) {
  const std::string recipe = R"({"target": 0.5, "nsamples": 2, "seqlen": 64, "schedule": "uniform",
                                 "strict": true, "calibration": ")" +
                             test::calibration_text() + "\"}";
  const test::Outcome outcome = test::run_prune(with_recipe(recipe, {"--target", "0.25"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json options =
      test::read_report(folder_.path() / "out").at("prune").at("options");
  EXPECT_EQ(options.at("target"), 0.25);
  EXPECT_EQ(options.at("nsamples"), 2);
  EXPECT_EQ(options.at("strict"), true);
  EXPECT_EQ(options.at("percdamp"), 0.01) << "defaults are recorded, too";
}

TEST_F(Recipe, UnknownKeyNamesTheNearest) {
  const test::Outcome outcome = test::run_prune(with_recipe(R"({"traget": 0.5})"));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("unknown key 'traget'; did you mean 'target'?"));
}

TEST_F(Recipe, BrokenRecipes) {
  EXPECT_EQ(test::run_prune(with_recipe("{\"target\": 0.5")).code, 2);
  EXPECT_EQ(test::run_prune(with_recipe("[1, 2]")).code, 2);
  EXPECT_EQ(test::run_prune({"--config", "/nowhere.json", "--model", "x"}).code, 2);
}

}  // namespace
}  // namespace prune
