// Runs every command in README and the guide, with the bundled model in place of the one that they name.
#include <algorithm>
#include <map>
#include <sstream>

#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = fs::path(PRUNE_TESTS_DIR).parent_path();

std::string documents() {
  return test::bytes(kRoot / "README.md") + test::bytes(kRoot / "src/GUIDE.md");
}

// Lines of the documents' code blocks that start with `word`, without the remark behind `#`; each once.
std::vector<std::string> commands_of(const std::string& word) {
  std::istringstream stream(documents());
  std::vector<std::string> commands;
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("    " + word + " ")) continue;
    line = line.substr(4, line.find(" #") - 4);
    line = line.substr(0, line.find_last_not_of(' ') + 1);
    if (std::ranges::find(commands, line) == commands.end()) commands.push_back(line);
  }
  return commands;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

TEST(Readme, EveryPruneCommandRuns) {
  const test::TemporaryFolder folder;
  const std::string text = test::calibration_text();
  // "run" is the output folder for the commands in README that read one.
  std::vector<std::string> first =
      test::small_run(test::model_folder(), (folder.path() / "run").string());
  ASSERT_EQ(test::run_prune(first).code, 0);
  const std::string small = " --calibration " + text + " --nsamples 2 --seqlen 64 --quiet";
  folder.write("rows.jsonl",
               R"({"prompt": "Who?", "completion": ")" + std::string(300, 'x') + "\"}");
  folder.write("prompt.txt", "It was a dark night, and");
  folder.write("chat.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  const std::vector<std::pair<std::string, std::string>> stands_for = {
      {"--calibration chats.jsonl:2,code.parquet:1,c4:1",
       "--calibration rows.jsonl:2," + text +
           ":1 --chat-template chat.jinja --nsamples 3 --seqlen 64 --quiet"},
      {" tests/", " " + (kRoot / "tests").string() + "/"},
      {" configs/", " " + (kRoot / "configs").string() + "/"},
      {" opt-66b --target 0.7 --download", " " + test::model_folder() + " --target 0.7" + small},
      {"--model MOE --experts 0.25", "--model " +
                                         test::tiny_model(folder, "moe", "qwen3_moe").string() +
                                         " --experts 0.4" + small},
      {"--model M --heads 0.5 --blocks 0.1",
       "--model " + test::tiny_model(folder, "llama", "smollm3").string() +
           " --heads 0.5 --blocks 0.25" + small},
      {"--model M --ffn 0.25", "--model " + test::model_folder() + " --ffn 0.25" + small},
      {"--recover 128", "--recover 2"},
      {"--model opt-66b", "--model " + test::model_folder()},
      {"--model M-s70 --teacher M",
       "--model run --teacher " + test::model_folder() + small + " --steps 2"},
      {"--recover 256", "--recover 2"},
      {"--model M M-s70 M-s70-w4", "--model run run --prompt-tokens 8 --max-tokens 2"},
      {"--model M", "--model " + test::model_folder()},
      {"--model P", "--model opt-books-6m-packed"},
      {"--target S", "--target 0.5" + small},
      {"--data D", "--data " + text + " --seqlen 64 --segments 2"},
      {"--data wikitext2", "--data " + text + " --seqlen 64 --segments 2"},
      {"--eval wikitext2", "--eval " + text + " --eval-segments 2" + small},
      {"--task T", "--task " + (test::golden() / "evaluation/multiple_choice.jsonl").string()},
      {"DIR1 DIR2 …", "run run"},
      {"--html F --csv F", "--html page.html --csv table.csv"},
  };
  const std::vector<std::string> commands = commands_of("prune");
  EXPECT_GE(commands.size(), 9u);
  for (const std::string& command : commands) {
    std::string line = command;
    for (const auto& [from, to] : stands_for) line = replaced(line, from, to);
    line.replace(0, 5, PRUNE_PROGRAM);
    const test::Outcome outcome = test::run_shell(
        "cd " + folder.path().string() + " && rm -rf opt-books-6m-s* run-recovered && " + line);
    EXPECT_EQ(outcome.code, 0) << command << "\n" << line << "\n" << outcome.err;
  }
}

TEST(Readme, EveryScriptIsThere) {
  std::istringstream stream(documents());
  int found = 0;
  for (std::string word; stream >> word;) {
    const size_t at = word.find("scripts/");
    if (at == std::string::npos || word.find("prune/scripts") != std::string::npos) continue;
    word =
        word.substr(at, word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_/.0123456789", at) - at);
    while (word.ends_with('.') || word.ends_with('/')) word.pop_back();
    EXPECT_TRUE(fs::exists(kRoot / word)) << word;
    ++found;
  }
  EXPECT_GE(found, 10);
}

TEST(Readme, FlagsThatItNamesExist) {
  std::string known = test::run_prune({"man"}).out;
  known = replaced(known, "\\-", "-");
  const std::string text = documents();
  // Our flags stand in backquotes, alone or before a value; other programs' flags have none.
  for (size_t at = 0; (at = text.find("`--", at)) != std::string::npos; ++at) {
    const std::string flag =
        text.substr(at + 1, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at + 1) - at - 1);
    EXPECT_NE(known.find(flag), std::string::npos) << flag;
  }
}

}  // namespace
}  // namespace prune
