#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(ReportCommand, MakesAPageAndATableOfRuns) {
  const test::TemporaryFolder folder;
  const std::string model = test::tiny_model(folder).string();
  const std::string text = folder.write("text.txt", test::tiny_text()).string();
  const std::string output = (folder.path() / "out").string();
  ASSERT_EQ(test::run_prune({"--model", model, "--calibration", text, "--nsamples", "4", "--seqlen",
                             "32", "--target", "0.6", "--output", output, "--quiet"})
                .code,
            0);
  const fs::path html = folder.path() / "page.html";
  const fs::path csv = folder.path() / "table.csv";
  const test::Outcome made = test::run_prune({"report", output, output + "/prune_report.json",
                                              "--html", html.string(), "--csv", csv.string()});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(test::bytes(html), HasSubstr("<h2>Sparsity by block</h2>"));
  const std::string table = test::bytes(csv);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 2 * 12);
}

TEST(ReportCommand, RefusesWhatIsNoReport) {
  const test::TemporaryFolder folder;
  const std::string file = folder.write("x.json", "{\"schema\": 1}").string();
  const std::string html = (folder.path() / "page.html").string();
  const test::Outcome wrong = test::run_prune({"report", file, "--html", html});
  EXPECT_EQ(wrong.code, 3);
  EXPECT_THAT(wrong.err, HasSubstr("x.json: key 'model' is missing"));
  EXPECT_FALSE(fs::exists(html));
  EXPECT_EQ(test::run_prune({"report", "--html", html}).code, 2);
  EXPECT_EQ(test::run_prune({"report", file}).code, 2);
}

}  // namespace
}  // namespace prune
