#include <sys/stat.h>

#include <sstream>

#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Outcome;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Arguments = std::vector<std::string>;

// Rows with each line of a text under a key.
std::string rows_of(const std::string& text, const std::string& key) {
  std::string rows;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) rows += json{{key, line}}.dump() + "\n";
  return rows;
}

// A template that marks turns with characters that the tiny model's tokenizer knows.
constexpr const char* kChatTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}";

// The tiny text in lines of 60 characters.
std::string tiny_lines() {
  std::string text = test::tiny_text();
  for (size_t at = 60; at < text.size(); at += 61) text.insert(at, "\n");
  return text;
}

// Conversations made of the lines of a text.
std::string chats_of(const std::string& text) {
  std::string rows;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    rows += json{{"messages",
                  {{{"role", "user"}, {"content", "more?"}},
                   {{"role", "assistant"}, {"content", line}}}}}
                .dump() +
            "\n";
  }
  return rows;
}

class Texts : public testing::Test {
 protected:
  Texts() {
    model_ = test::tiny_model(folder_).string();
    text_ = write("text.txt", test::tiny_text());
  }

  std::string write(const std::string& name, const std::string& content) const {
    return folder_.write(name, content).string();
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  Arguments eval(const std::string& data, const Arguments& more = {}) const {
    Arguments arguments = {"eval",      "--json",   "--model", model_,       "--data",
                           data,        "--seqlen", "32",      "--segments", "4",
                           "--threads", "1",        "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  json evaluated(const std::string& data, const Arguments& more = {}) const {
    return result(test::run_prune(eval(data, more)));
  }
  Arguments pruning(const std::string& calibration, const std::string& output,
                    const Arguments& more = {}) const {
    Arguments arguments = {
        "--model",  model_,       "--calibration", calibration, "--nsamples", "8",
        "--seqlen", "32",         "--target",      "0.6",       "--groups",   "2",
        "--output", path(output), "--threads",     "1",         "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  json pruned(const std::string& calibration, const std::string& output,
              const Arguments& more = {}) const {
    const Outcome outcome = test::run_prune(pruning(calibration, output, more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? test::read_report(path(output)) : json();
  }
  static json result(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }
  static void expect_error(const Arguments& arguments, int code, const std::string& says) {
    const Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(says));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  /// Runs a shell command in which $P is the program and $A its quoted arguments.
  static Outcome run_bash(const std::string& command, const Arguments& arguments) {
    std::string all;
    for (const std::string& argument : arguments) all += " " + test::quoted(argument);
    const std::string script = "set -- " + all + "; P='" PRUNE_PROGRAM "'; " + command;
    return test::run_shell("bash -c \"$(cat <<'END'\n" + script + "\nEND\n)\"");
  }

  test::TemporaryFolder folder_;
  std::string model_;
  std::string text_;
};

// As the text of which the rows are the lines.
TEST_F(Texts, RowsAreEvaluatedWhole) {
  const std::string all = test::bytes(test::fixtures() / "books.test.txt");
  const std::string lines = all.substr(0, all.find('\n', 60000));
  const auto evaluate = [&](const std::string& data) {
    return result(test::run_prune({"eval", "--json", "--quiet", "--model", test::model_folder(),
                                   "--data", data, "--seqlen", "64"}));
  };
  const json rows = evaluate(write("rows.jsonl", rows_of(lines, "text")));
  const json text = evaluate(write("lines.txt", lines));
  EXPECT_GT(rows.at("segments"), 200);
  for (const char* key : {"segments", "perplexity", "sha256"})
    EXPECT_EQ(rows.at(key), text.at(key));
  EXPECT_EQ(rows.at("texts").at(0).at("joined_by"), "\n");
  EXPECT_EQ(rows.at("texts").at(0).at("rows"), std::ranges::count(lines, '\n') + 1);
  EXPECT_EQ(rows.at("texts").at(0).at("tokens_cut"), text.at("texts").at(0).at("tokens_cut"));
}

TEST_F(Texts, WhatIsCutAndReplacedIsLogged) {
  Arguments arguments = eval(write("mac.txt", test::tiny_text() + "\r\nend\r"));
  arguments.pop_back();  // --quiet
  const Outcome outcome = test::run_prune(arguments);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("mac.txt: line ends of CR LF or CR read as LF: 2"),
                                 HasSubstr("mac.txt: 128 of 4005 tokens make 4 segments of 32; the "
                                           "last 3877 are not used")));
}

TEST_F(Texts, AGuessIsReportedAndRefusedUnderStrict) {
  const std::string rows = write("rows.jsonl", rows_of(test::tiny_text() + "\nmore", "content"));
  const std::string guess = "rows.jsonl: the rows have no 'text'; 'content' is read";
  const Outcome outcome = test::run_prune(eval(rows));
  EXPECT_THAT(outcome.err, HasSubstr(guess)) << "a warning";
  EXPECT_EQ(result(outcome).at("texts").at(0).at("guesses").size(), 1U);
  expect_error(eval(rows, {"--strict"}), 3, guess + "; refused by --strict");
  EXPECT_EQ(evaluated(rows, {"--strict", "--text-field", "content"}).at("sha256"),
            result(outcome).at("sha256"));

  const json report = pruned(rows, "out", {"--eval", rows, "--eval-segments", "2"});
  ASSERT_EQ(report.at("fallbacks").size(), 1U) << report.at("fallbacks");
  EXPECT_EQ(report.at("fallbacks").at(0).at("where"), rows);
  expect_error(pruning(rows, "strict", {"--strict"}), 3, guess + "; refused by --strict");
  expect_error(pruning(text_, "strict", {"--strict", "--eval", rows}), 3, guess);
  EXPECT_FALSE(fs::exists(path("strict.partial")));
  Arguments plan = pruning(rows, "planned", {"--json"});
  plan.insert(plan.begin(), "plan");
  EXPECT_THAT(result(test::run_prune(plan)).at("warnings").dump(), HasSubstr("'content' is read"));
}

TEST_F(Texts, AFieldIsForFiles) {
  const std::string rows = write("rows.JSONL", rows_of(test::tiny_text(), "body"));
  const json set = evaluated(rows, {"--text-field", "body"});
  EXPECT_EQ(set.at("sha256"), evaluated(text_).at("sha256"));
  EXPECT_EQ(set.at("texts").at(0).at("field"), "body");
  expect_error(eval(rows), 3, "rows.JSONL:1: key 'text' is missing; the row has body");
  expect_error(eval("c4", {"--text-field", "body"}), 2, "--text-field 'body' is for files");
  EXPECT_EQ(
      pruned(rows, "out", {"--text-field", "body"}).at("calibration").at("texts").at(0).at("field"),
      "body");
}

TEST_F(Texts, StandardInputIsReadOnce) {
  const std::string want = evaluated(text_).at("sha256");
  const json text = result(run_bash("\"$P\" \"$@\" < " + text_, eval("-")));
  EXPECT_EQ(text.at("sha256"), want);
  EXPECT_EQ(text.at("data"), "standard input");
  EXPECT_EQ(text.at("texts").at(0).at("guesses").at(0), "is read as one text");
  EXPECT_EQ(
      result(run_bash("gzip -c " + text_ + " | \"$P\" \"$@\"", eval("/dev/stdin"))).at("sha256"),
      want);
  const std::string rows = write("rows.jsonl", rows_of(test::tiny_text(), "text"));
  // Process substitution; bash names its pipe like this.
  EXPECT_EQ(result(run_bash("exec 5< <(cat " + rows + "); \"$P\" \"$@\"", eval("/dev/fd/5")))
                .at("sha256"),
            want);
  const Outcome strict = run_bash("\"$P\" \"$@\" < " + text_, eval("-", {"--strict"}));
  EXPECT_EQ(strict.code, 3);
  EXPECT_THAT(strict.err, HasSubstr("standard input: is read as one text; refused by --strict"));

  expect_error(pruning("-", "out", {"--eval", "/dev/stdin"}), 2,
               "'/dev/stdin' is named twice but can be read only once");
  const Outcome ranks =
      run_bash("RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=1 \"$P\" \"$@\" < " + text_,
               pruning("-", "out"));
  EXPECT_EQ(ranks.code, 2) << ranks.err;
  EXPECT_THAT(ranks.err, HasSubstr("'-' can be read by one process only"));
}

TEST_F(Texts, AFolderIsNamedAsOne) {
  write("set/a.jsonl", "x");
  expect_error(eval(path("set")), 3,
               "set: is a folder, not a file; name one of its texts: a.jsonl");
}

TEST_F(Texts, BosIsAddedAsAsked) {
  write("tiny/tokenizer_config.json", R"({"bos_token": "^"})");
  const json off = evaluated(text_, {"--add-bos", "off"});
  const json on = evaluated(text_, {"--add-bos", "on"});
  EXPECT_EQ(off.at("sha256"), evaluated(text_).at("sha256")) << "this tokenizer adds none";
  EXPECT_NE(on.at("sha256"), off.at("sha256"));
  EXPECT_TRUE(on.at("texts").at(0).at("bos"));
  EXPECT_FALSE(off.at("texts").at(0).at("bos"));
  EXPECT_EQ(evaluated(write("bos.txt", "^" + test::tiny_text())).at("sha256"), on.at("sha256"));
  const json report = pruned(text_, "out", {"--add-bos", "on", "--eval", text_});
  EXPECT_TRUE(report.at("calibration").at("texts").at(0).at("bos"));
  EXPECT_TRUE(report.at("evaluation").at("texts").at(0).at("bos"));
  EXPECT_EQ(report.at("fingerprint").at("options").at("add-bos"), "on");
  expect_error(eval(text_, {"--add-bos", "maybe"}), 2, "--add-bos 'maybe' is not one of");
}

TEST_F(Texts, AMixtureSharesTheSamplesByWeight) {
  const std::string rows =
      write("rows.jsonl", json(test::tiny_text(2)).dump() + "\n" + json(test::tiny_text(3)).dump());
  const json report = pruned(text_ + ":2," + rows + ":0.5", "out");
  const json& texts = report.at("calibration").at("texts");
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts.at(0).at("samples"), 6);
  EXPECT_EQ(texts.at(1).at("samples"), 2);
  EXPECT_EQ(report.at("calibration").at("source"), text_ + ", " + rows);
  EXPECT_THAT(test::bytes(fs::path(path("out")) / "README.md"),
              HasSubstr("| calibration | 8 x 32 tokens of text.txt (6), rows.jsonl (2) |"));
  EXPECT_EQ(pruned(text_ + ":7", "one").at("calibration").at("sha256"),
            pruned(text_, "same").at("calibration").at("sha256"));
}

TEST_F(Texts, AFileMayHaveCommasAndColonsInItsName) {
  const std::string odd = write("a,b:2.txt", test::tiny_text());
  const json report = pruned(odd, "out");
  EXPECT_EQ(report.at("calibration").at("source"), odd);
  const std::string also = write("b:2", "x");
  EXPECT_THAT(test::run_prune(pruning(also, "b")).err, HasSubstr("the extension '' is not known"));
}

TEST_F(Texts, MixturesThatMakeNoSense) {
  const auto refused = [&](const std::string& calibration, const std::string& says) {
    expect_error(pruning(calibration, "out"), 2, says);
  };
  refused(text_ + ":0,c4", "the weight 0 of '");
  refused(text_ + ":-1,c4", "the weight -1 of '");
  refused(text_ + ":nan,c4", "the weight nan of '");
  refused(text_ + ":many,c4", "the weight 'many' of '");
  refused(text_ + ":100,c4:1", "'c4' with weight 1 gets none of the 8 calibration samples");
  refused(text_ + ",," + text_, "names an empty text");
  refused(text_ + ":2," + text_ + ":1", "twice; its samples would repeat");
  refused("", "--calibration names no text");
  expect_error(pruning(text_ + ":2,/nowhere/x.txt:1", "out"), 3, "/nowhere/x.txt: cannot open");
  EXPECT_FALSE(fs::exists(path("out.partial")));
}

TEST_F(Texts, ConversationsCalibrateAndEvaluateThroughTheChatTemplate) {
  const std::string chats = write("chats.jsonl", chats_of(tiny_lines()));
  const Outcome without = test::run_prune(eval(chats));
  EXPECT_EQ(without.code, 3);
  EXPECT_THAT(without.err, AllOf(HasSubstr("chats.jsonl:1: the rows are chats"),
                                 HasSubstr("has no chat template")));

  std::ofstream(fs::path(model_) / "chat_template.jinja") << kChatTemplate;
  // Rendered by hand, the same text has the same ids.
  std::string rendered;
  std::istringstream stream(tiny_lines());
  for (std::string line; std::getline(stream, line);) {
    rendered += "user: more?\nassistant: " + line + "\n";
  }
  const json chat = evaluated(chats);
  EXPECT_EQ(chat.at("sha256"), evaluated(write("rendered.txt", rendered)).at("sha256"));
  const json& about = chat.at("texts").at(0);
  EXPECT_EQ(about.at("chat_template"), "chat_template.jinja");
  EXPECT_EQ(about.at("rows_drawn"), about.at("rows"));

  const Outcome pruned = test::run_prune(
      pruning(chats + ":3," + text_ + ":1", path("out"), {"--strict", "--eval", chats}));
  ASSERT_EQ(pruned.code, 0) << pruned.err;
  const json report = test::read_report(path("out"));
  EXPECT_EQ(report.at("calibration").at("texts").at(0).at("samples"), 6);
  EXPECT_EQ(report.at("calibration").at("texts").at(0).at("field"), "messages");
  EXPECT_EQ(report.at("evaluation").at("texts").at(0).at("chat_template"), "chat_template.jinja");
}

TEST_F(Texts, ATemplateCanBeNamedOrLeftOut) {
  const std::string chats = write("chats.jsonl", chats_of(tiny_lines()));
  const std::string named = write("named.jinja", "{{ messages[1].content }}");
  const json by_file = evaluated(chats, {"--chat-template", named});
  EXPECT_EQ(by_file.at("texts").at(0).at("chat_template"), named);
  const json joined = evaluated(chats, {"--chat-template", "none"});
  EXPECT_EQ(joined.at("texts").at(0).at("chat_template"), "none");
  EXPECT_NE(by_file.at("sha256"), joined.at("sha256"));
  const Outcome unknown = test::run_prune(eval(chats, {"--chat-template", "tool_use"}));
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("--chat-template 'tool_use' is not a file"));
  const std::string broken = write("broken.jinja", "{% if x %}");
  const Outcome refused = test::run_prune(eval(chats, {"--chat-template", broken}));
  EXPECT_EQ(refused.code, 3);
  EXPECT_THAT(refused.err, HasSubstr("broken.jinja:1"));
}

TEST_F(Texts, ARefusedConversationIsAnErrorOnlyUnderStrict) {
  std::ofstream(fs::path(model_) / "chat_template.jinja")
      << "{% if messages[1].content == '' %}{{ raise_exception('no answer') }}{% endif %}"
      << kChatTemplate;
  const std::string chats = write("chats.jsonl", chats_of("\n" + tiny_lines()));
  const json about = evaluated(chats).at("texts").at(0);
  EXPECT_GT(about.at("rows_refused"), 0);
  const Outcome strict = test::run_prune(eval(chats, {"--strict"}));
  EXPECT_EQ(strict.code, 3);
  EXPECT_THAT(strict.err, AllOf(HasSubstr("rows skipped because the template refuses them"),
                                HasSubstr("no answer"), HasSubstr("refused by --strict")));
}

}  // namespace
}  // namespace prune
