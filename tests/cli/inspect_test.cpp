// `prune inspect` on checkpoints of several forms.
#include <regex>

#include "cli/tiny_model.h"

namespace prune {
namespace {

using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

std::string inspected(const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"inspect", "--quiet", "--model", model};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const test::Outcome outcome = test::run_prune(arguments);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

TEST(Inspect, ShowsATreeOrEveryLayer) {
  const std::string tree = inspected(test::model_folder());
  EXPECT_THAT(tree, HasSubstr(": opt, 6 blocks, hidden size 256, 5.9 M parameters, float16"));
  EXPECT_THAT(tree, ContainsRegex("\n  embedding +1\\.2 M "));
  EXPECT_THAT(tree, ContainsRegex("\n  blocks 0-5 +4\\.7 M +9\\.00 MiB +float16  0\\.0000\n"));
  EXPECT_THAT(tree, HasSubstr("\n    attention, 6 x 4 layers"));
  EXPECT_THAT(tree, HasSubstr("\n    feed-forward, 6 x 2 layers"));
  EXPECT_THAT(tree, HasSubstr("\n  head: the embedding\n"));
  EXPECT_THAT(tree, HasSubstr("\n  sparsity 0.0000: 6 of 4718592 weights are zero\n"));
  EXPECT_THAT(tree, Not(HasSubstr("q_proj")));
  const std::string table = inspected(test::model_folder(), {"--layers"});
  EXPECT_THAT(table, HasSubstr("\n  5.self_attn.q_proj "));
  EXPECT_EQ(table.substr(0, table.find('\n')), tree.substr(0, tree.find('\n')));
  EXPECT_EQ(inspected(test::model_folder(), {"--layers", "--json"}),
            inspected(test::model_folder(), {"--json"}));
}

// The parts' parameters and bytes are all that the files hold; small numbers are shown in full.
TEST(Inspect, PartsOfATreeAddUpToTheModel) {
  const test::TemporaryFolder folder;
  for (const std::string name :
       {"opt", "bloom", "qwen3_moe", "gemma4_text", "falcon_h1", "gpt_oss"}) {
    const std::string model = test::tiny_model(folder, name, name).string();
    const std::string tree = inspected(model);
    const json facts = json::parse(inspected(model, {"--json"}));
    double sum = 0.0;
    static const std::regex kRow(
        R"(\n  (embedding|block|head|other)[^\n]*? {2,}([0-9.]+)( k| M)? )");
    for (auto row = std::sregex_iterator(tree.begin(), tree.end(), kRow);
         row != std::sregex_iterator(); ++row) {
      const std::string unit = row->str(3);
      sum += std::stod(row->str(2)) * (unit == " M" ? 1e6 : unit == " k" ? 1e3 : 1.0);
    }
    const auto parameters = facts.at("parameters").get<double>();
    EXPECT_NEAR(sum, parameters, 0.01 * parameters) << name << "\n" << tree;
  }
}

}  // namespace
}  // namespace prune
