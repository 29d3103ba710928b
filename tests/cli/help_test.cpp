#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "cli/program.h"

namespace prune {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kCommands = {"",     "plan",   "eval",       "inspect", "report",
                                            "pack", "unpack", "completion", "man"};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string help(const std::string& command, const std::string& flag) {
  const test::Outcome outcome = test::run_prune(
      command.empty() ? std::vector{flag} : std::vector<std::string>{command, flag});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

std::set<std::string> flags_in(const std::string& text) {
  std::set<std::string> flags;
  static const std::regex kFlag("--[a-z][a-z-]*");
  for (auto it = std::sregex_iterator(text.begin(), text.end(), kFlag);
       it != std::sregex_iterator(); ++it) {
    flags.insert(it->str());
  }
  return flags;
}

bool have(const std::string& program) { return test::run_shell("command -v " + program).code == 0; }

std::string completed(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += " " + test::quoted(word);
  const test::Outcome outcome =
      test::run_shell("bash -c 'source <(" PRUNE_PROGRAM
                      " completion bash); COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _prune; "
                      "echo \"${COMPREPLY[*]}\"' _" +
                      line);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

TEST(Help, EveryCommandFitsOnOneScreen) {
  for (const std::string& command : kCommands) {
    const std::vector<std::string> lines = lines_of(help(command, "--help"));
    EXPECT_LE(lines.size(), 50u) << command;
    for (const std::string& line : lines) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(Help, AllHasWhatTheShortOneHasAndMore) {
  const std::string all = help("", "--help-all");
  for (const std::string& flag : flags_in(help("", "--help"))) EXPECT_THAT(all, HasSubstr(flag));
  EXPECT_THAT(all, HasSubstr("--percdamp"));
  EXPECT_THAT(all, HasSubstr("--color"));
  EXPECT_THAT(all, HasSubstr("Exit codes:"));
  for (const std::string& line : lines_of(all)) EXPECT_LE(line.size(), 80u) << line;
}

TEST(Help, VersionIsPrinted) {
  const std::vector<std::string> lines = lines_of(test::run_prune({"--version"}).out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(std::regex_match(lines[0], std::regex(R"(prune 0\.[0-9.]+ \(\S+\))"))) << lines[0];
  const std::regex features(
      R"(LibTorch [0-9.]+, CPU \w+ \((oneDNN|BLAS)\), CUDA (yes|no), Parquet (yes|no))");
  EXPECT_TRUE(std::regex_match(lines[1], features)) << lines[1];
  EXPECT_TRUE(lines[1].ends_with(PRUNE_HAS_PARQUET ? "Parquet yes" : "Parquet no")) << lines[1];
}

TEST(Help, ManualPageHasEveryFlagOfEveryCommand) {
  const std::string page =
      std::regex_replace(test::run_prune({"man"}).out, std::regex(R"(\\-)"), "-");
  for (const std::string& command : kCommands) {
    for (const std::string& flag : flags_in(help(command, "--help-all"))) {
      EXPECT_THAT(page, HasSubstr(flag)) << command;
    }
  }
}

TEST(Help, ManualPageIsCleanRoff) {
  if (!have("groff")) GTEST_SKIP() << "no groff here";
  const test::Outcome outcome =
      test::run_shell(PRUNE_PROGRAM " man | groff -ww -man -Tutf8 | col -b");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, HasSubstr("EXIT STATUS"));
}

TEST(Completion, Bash) {
  EXPECT_EQ(completed({"prune", "ev"}), "eval\n");
  EXPECT_EQ(completed({"prune", "--solver", ""}), "sparsegpt alps\n");
  EXPECT_EQ(completed({"prune", "eval", "--loss-dtype", "m"}), "model\n");
  EXPECT_EQ(completed({"prune", "plan", "--model", "opt-6"}), "opt-6.7b opt-66b\n");
  EXPECT_EQ(completed({"prune", "report", "--c"}), "--csv\n");
  EXPECT_EQ(completed({"prune", "--report", (test::fixtures() / "opt-books-6m/conf").string()}),
            (test::fixtures() / "opt-books-6m/config.json").string() + "\n");
}

TEST(Completion, OtherShellsReadTheirs) {
  for (const std::string shell : {"zsh", "fish"}) {
    const test::Outcome script = test::run_prune({"completion", shell});
    EXPECT_EQ(script.code, 0);
    for (const std::string& flag : flags_in(help("", "--help-all"))) {
      EXPECT_THAT(script.out, HasSubstr(flag.substr(2))) << shell;
    }
    if (!have(shell)) {
      GTEST_LOG_(INFO) << "no " << shell << " here: its script is not parsed";
      continue;
    }
    const test::Outcome parsed =
        test::run_shell(PRUNE_PROGRAM " completion " + shell + " | " + shell + " -n");
    EXPECT_EQ(parsed.code, 0) << parsed.err;
  }
  EXPECT_EQ(test::run_prune({"completion", "csh"}).code, 2);
}

}  // namespace
}  // namespace prune
