// The program's output in terminals of two widths and in a file.
#include <regex>
#include <sstream>
#include <thread>

#include "cli/tiny_model.h"

namespace prune {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class Terminal : public testing::Test {
 protected:
  std::string command() const {
    std::string line = PRUNE_PROGRAM;
    std::vector<std::string> arguments =
        test::small_run(test::model_folder(), (folder_.path() / "out").string(),
                        {"--target", "0.7", "--eval",
                         (test::fixtures() / "books.test.txt").string(), "--eval-segments", "2"});
    std::erase(arguments, "--quiet");
    for (const std::string& argument : arguments) line += " " + test::quoted(argument);
    return line;
  }

  // The screen of a terminal of this width after the program has ended.
  std::string screen(int width) const {
    const std::string socket = (folder_.path() / "tmux").string();
    const std::string done = (folder_.path() / "done").string();
    const std::string script =
        folder_.write("run.sh", command() + "\ntouch " + done + "\ncat\n").string();
    const std::string tmux = "tmux -S " + socket + " ";
    EXPECT_EQ(
        test::run_shell(tmux + "new-session -d -x " + std::to_string(width) + " -y 60 sh " + script)
            .code,
        0);
    for (int i = 0; i < 1200 && !std::filesystem::exists(done); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    const std::string text = test::run_shell(tmux + "capture-pane -p").out;
    test::run_shell(tmux + "kill-server");
    return text;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Terminal, TwoWidths) {
  if (test::run_shell("command -v tmux").code != 0) GTEST_SKIP() << "no tmux here";
  for (const int width : {80, 120}) {
    const std::string text = screen(width);
    EXPECT_THAT(text, Not(HasSubstr("ETA"))) << "the live line is gone\n" << text;
    EXPECT_THAT(text, HasSubstr("perplexity dense "));
    int bars = 0;
    for (const std::string& line : lines_of(text)) {
      if (std::regex_search(line, std::regex("^  block +[0-9]+  group +[0-9]+  0\\.[0-9]{4} █")))
        ++bars;
    }
    EXPECT_EQ(bars, 6) << "one row a block, printed once\n" << text;
    std::filesystem::remove_all(folder_.path() / "out");
    std::filesystem::remove(folder_.path() / "done");
  }
}

TEST_F(Terminal, InAFileOneStampedLineABlock) {
  const test::Outcome outcome = test::run_shell(command());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, Not(HasSubstr("\033")));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\r")));
  int blocks = 0;
  for (const std::string& line : lines_of(outcome.err)) {
    EXPECT_TRUE(std::regex_search(line, std::regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}"))) << line;
    if (std::regex_search(line, std::regex("prune block [0-9]/6"))) ++blocks;
  }
  EXPECT_EQ(blocks, 6) << outcome.err;
}

TEST_F(Terminal, WarningsHaveColourOnATerminalOrIfAskedFor) {
  if (test::run_shell("command -v script").code != 0) GTEST_SKIP() << "no script here";
  const std::string model = test::tiny_model(folder_).string();
  // That `content` is the text is a guess, which is a warning.
  const std::string row = nlohmann::json{{"content", test::tiny_text()}}.dump();
  const std::string text = folder_.write("rows.jsonl", row).string();
  const std::string eval = std::string(PRUNE_PROGRAM) + " eval --model " + model + " --data " +
                           text + " --seqlen 16 --segments 1";
  const auto coloured = [&](const std::string& environment, const std::string& flags,
                            bool terminal) {
    const std::string line = "env -u NO_COLOR TERM=xterm " + environment + " " + eval + flags;
    const test::Outcome outcome =
        test::run_shell(terminal ? "script -qec " + test::quoted(line) + " /dev/null" : line);
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr("'content'"));
    return (outcome.out + outcome.err).find("\033[33m") != std::string::npos;
  };
  EXPECT_TRUE(coloured("", "", true));
  EXPECT_TRUE(coloured("NO_COLOR=", "", true)) << "empty counts as not set";
  EXPECT_FALSE(coloured("NO_COLOR=0", "", true));
  EXPECT_FALSE(coloured("TERM=dumb", "", true));
  EXPECT_FALSE(coloured("", " --color never", true));
  EXPECT_FALSE(coloured("", "", false));
  EXPECT_TRUE(coloured("NO_COLOR=1", " --color always", false));
}

}  // namespace
}  // namespace prune
