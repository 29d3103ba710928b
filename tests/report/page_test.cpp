#include <prune/report/page.h>

#include "support.h"

namespace prune::report {
namespace {

using nlohmann::json;
using test::error_of;
using testing::HasSubstr;
using testing::Not;

json layer(const std::string& name, double sparsity, json estimated) {
  return {{"name", name},
          {"shape", {2, 8}},
          {"group", 1},
          {"sparsity_asked", sparsity},
          {"sparsity_reached", sparsity},
          {"loss_estimated", std::move(estimated)},
          {"loss_measured", 2.5},
          {"energy", nullptr},
          {"damp_used", 0.01},
          {"elapsed_s", 0.125}};
}

json report() {
  return {{"schema", 1},
          {"prune",
           {{"version", "1.2"},
            {"command_line", "prune --model 'a<b>'"},
            {"options", {{"solver", "alps"}, {"refine", 3}}}}},
          {"model", {{"id", "a<b>"}, {"family", "opt"}, {"blocks", 2}, {"dtype", "float16"}}},
          {"calibration", {{"nsamples", 4}, {"seqlen", 64}, {"source", "text, \"old\""}}},
          {"device", "cpu"},
          {"schedule", {{"kind", "kmeans"}}},
          {"schedule_candidates", {{{"kind", "uniform"}, {"spread", 0.0}, {"perplexity", 9.5}}}},
          {"weights", 48},
          {"zeros", 24},
          {"layers",
           {layer("model.layers.0.fc1", 0.25, 1.5), layer("model.layers.0.fc2", 0.5, 3.5),
            layer("model.layers.11.fc1", 0.75, nullptr)}},
          {"fallbacks", {{{"where", "device"}, {"what", "no CUDA"}}}},
          {"evaluation",
           {{"data", "books"}, {"perplexity_dense", 10.0}, {"perplexity_pruned", 12.345}}},
          {"peak_memory_bytes", {{"host", 1 << 20}, {"device", 0}}},
          {"elapsed_s", {{"open", 1.0}, {"prune", 2.5}}}};
}

TEST(HtmlPage, ShowsRunsSideBySide) {
  json uniform = report();
  uniform["schedule"]["kind"] = "uniform";
  uniform["evaluation"] = nullptr;
  const std::string page = html_page({{"one.json", report()}, {"two.json", uniform}});
  for (const char* text :
       {"one.json", "two.json", "a&lt;b&gt; (opt, 2 blocks, float16)", "alps, 3 refine steps",
        "0.5000 (24 of 48 weights)", ">12.35<", "<td>–</td>", "block 0: 0.3750", "block 11: 0.7500",
        "model.layers.0.fc2: estimated 3.5, measured 2.5", "2.5 s", "uniform, spread 0: 9.50",
        "device: no CUDA"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  EXPECT_THAT(page, Not(HasSubstr("a<b>")));
  for (const char* foreign : {"http:", "https:", "<script", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(foreign))) << "the page is not self-contained";
  }
}

TEST(HtmlPage, WithoutAnEstimatePassSaysSo) {
  json bare = report();
  for (json& l : bare.at("layers")) l["loss_estimated"] = nullptr;
  EXPECT_THAT(html_page({{"one.json", bare}}), HasSubstr("No estimate pass was run."));
}

TEST(CsvTable, HasOneLinePerLayer) {
  EXPECT_EQ(csv_table({{"a \"b\", c", report()}}),
            "report,layer,block,rows,cols,group,sparsity,loss_estimated,loss_measured,energy,"
            "damp_used,elapsed_s\n"
            "\"a \"\"b\"\", c\",model.layers.0.fc1,0,2,8,1,0.25,1.5,2.5,,0.01,0.125\n"
            "\"a \"\"b\"\", c\",model.layers.0.fc2,0,2,8,1,0.5,3.5,2.5,,0.01,0.125\n"
            "\"a \"\"b\"\", c\",model.layers.11.fc1,11,2,8,1,0.75,,2.5,,0.01,0.125\n");
}

TEST(HtmlPage, NamesFileAndKeyOfABadReport) {
  json without = report();
  without.erase("fallbacks");
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] {
                         html_page({{"one.json", without}});
                       }),
              HasSubstr("one.json: key 'fallbacks' is missing"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [] {
                         csv_table({{"x.json", json::array()}});
                       }),
              HasSubstr("x.json: key 'schema' is missing"));
}

}  // namespace
}  // namespace prune::report
