// The page of `prune report --html` in a real browser: no text overlaps or leaves the window.
#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

// Writes its findings into the document, which --dump-dom prints.
constexpr const char* kProbe = R"(<script>
const boxes = [];
for (const element of document.querySelectorAll("body *")) {
  for (const node of element.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width > 1 && box.height > 1) boxes.push([box, node.data.trim()]);
    }
  }
}
const found = [];
for (let i = 0; i < boxes.length; ++i) {
  for (let j = i + 1; j < boxes.length; ++j) {
    const [a, s] = boxes[i], [b, t] = boxes[j];
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    // Lines of one paragraph may touch by their leading.
    if (wide > 2 && high > 0.4 * Math.min(a.height, b.height)) found.push(s + " / " + t);
  }
}
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) found.push("wider than the window: " + root.scrollWidth);
document.title = "texts " + boxes.length + " faults " + found.length + " " + found.slice(0, 5).join("; ");
</script>)";

std::string browser() {
  for (const char* name : {"chromium", "google-chrome", "chromium-browser"}) {
    if (test::run_shell(std::string("command -v ") + name).code == 0) return name;
  }
  return "";
}

// Width of a PNG, the first number of its header.
uint32_t png_width(const std::string& png) {
  uint32_t width = 0;
  for (size_t i = 16; i < 20; ++i) width = width << 8 | static_cast<unsigned char>(png.at(i));
  return width;
}

TEST(PageInABrowser, NothingOverlapsAtTwoWidths) {
  const std::string program = browser();
  if (program.empty()) GTEST_SKIP() << "no chromium here";
  const test::TemporaryFolder folder;
  std::vector<std::string> report = {"report", "--html", (folder.path() / "page.html").string()};
  for (const std::string schedule : {"kmeans", "uniform"}) {
    const std::string output = (folder.path() / schedule).string();
    const test::Outcome run =
        test::run_prune(test::small_run(test::model_folder(), output,
                                        {"--target", "0.7", "--schedule", schedule, "--eval",
                                         test::calibration_text(), "--eval-segments", "2"}));
    ASSERT_EQ(run.code, 0) << run.err;
    report.push_back(output);
  }
  ASSERT_EQ(test::run_prune(report).code, 0);
  const std::string page = test::bytes(folder.path() / "page.html");
  const std::string probed = folder.write("probed.html", page + kProbe).string();
  for (const int width : {1200, 500}) {
    const std::string shot = (folder.path() / (std::to_string(width) + ".png")).string();
    const std::string flags =
        " --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=" +
        (folder.path() / "profile").string() + " --window-size=" + std::to_string(width) + ",3000 ";
    const test::Outcome dom = test::run_shell(program + flags + "--dump-dom file://" + probed);
    ASSERT_EQ(dom.code, 0) << dom.err;
    const size_t title = dom.out.find("<title>texts ");
    ASSERT_NE(title, std::string::npos);
    const std::string findings = dom.out.substr(title + 7, dom.out.find("</title>") - title - 7);
    EXPECT_THAT(findings, testing::ContainsRegex("texts [1-9][0-9]+ faults 0 "))
        << "at " << width << " pixels";
    const test::Outcome picture =
        test::run_shell(program + flags + "--screenshot=" + shot + " file://" +
                        folder.path().string() + "/page.html");
    ASSERT_EQ(picture.code, 0) << picture.err;
    EXPECT_EQ(png_width(test::bytes(shot)), static_cast<uint32_t>(width));
  }
}

}  // namespace
}  // namespace prune
