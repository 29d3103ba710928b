#include <prune/chat/chat_template.h>
#include <prune/core/json_file.h>
#include <prune/evaluation/multiple_choice.h>

#include "support.h"

namespace prune::evaluation {
namespace {

using test::error_of;
using testing::HasSubstr;

std::vector<MultipleChoiceItem> read_task(const std::filesystem::path& file) {
  return evaluation::read_task(file, chat::TemplateChoice());
}

MultipleChoiceResult run(const std::vector<MultipleChoiceItem>& items,
                         const std::filesystem::path& folder = test::fixtures() / "opt-books-6m") {
  const models::Model model =
      models::Model::open(folder, {.device = at::kCPU, .dtype = at::kFloat});
  NoProgress progress;
  return multiple_choice(model, *tokenizer::load_tokenizer(folder), items,
                         {.scratch = std::filesystem::temp_directory_path()}, progress);
}

/// Compares with lm-eval's scores of the same items.
void expect_loglikelihoods(const MultipleChoiceResult& result, const json& golden) {
  const auto expected = golden.at("loglikelihoods").get<std::vector<std::vector<double>>>();
  ASSERT_EQ(result.loglikelihoods.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(result.loglikelihoods[i].size(), expected[i].size()) << i;
    for (size_t c = 0; c < expected[i].size(); ++c) {
      EXPECT_NEAR(result.loglikelihoods[i][c], expected[i][c], 2e-3) << i << ", " << c;
    }
  }
}

TEST(MultipleChoice, EqualsLmEval) {
  const auto folder = test::golden() / "evaluation";
  const json golden = read_json(folder / "multiple_choice.json");
  const MultipleChoiceResult result = run(read_task(folder / "multiple_choice.jsonl"));
  expect_loglikelihoods(result, golden);
  EXPECT_DOUBLE_EQ(result.accuracy, golden.at("acc").get<double>());
  EXPECT_DOUBLE_EQ(result.normalized, golden.at("acc_norm").get<double>());
  EXPECT_EQ(result.cut, 2) << "the two requests of the long item";
  EXPECT_NEAR(to_json(result).at("acc_norm_stderr").get<double>(), 0.0882, 1e-4)
      << "sqrt(p (1 - p) / 31) of p = 19/32";
}

/// The copy of the model that scripts/golden/multiple_choice.py makes: every text starts with BOS.
class ModelWithBos {
 public:
  ModelWithBos() {
    std::filesystem::copy(test::fixtures() / "opt-books-6m", path());
    json tokenizer = read_json(path() / "tokenizer.json");
    tokenizer["post_processor"] = json::parse(
        R"({"type": "TemplateProcessing", "pair": [],
            "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}})");
    folder_.write("model/tokenizer.json", tokenizer.dump());
    folder_.write("model/tokenizer_config.json",
                  R"({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "</s>"})");
  }
  std::filesystem::path path() const { return folder_.path() / "model"; }

 private:
  test::TemporaryFolder folder_;
};

TEST(MultipleChoice, EmptyContextsAndContextsWithBosEqualLmEval) {
  const ModelWithBos model;
  const auto folder = test::golden() / "evaluation";
  const json golden = read_json(folder / "multiple_choice_bos.json");
  const MultipleChoiceResult result =
      run(read_task(folder / "multiple_choice_bos.jsonl"), model.path());
  expect_loglikelihoods(result, golden);
}

/// The copy of the model that scripts/golden/multiple_choice.py makes: it has a chat template.
class ChatModel {
 public:
  ChatModel() {
    std::filesystem::copy(test::fixtures() / "opt-books-6m", path());
    folder_.write(
        "model/chat_template.jinja",
        "{% for message in messages %}\n{{ message.role }}: {{ message.content }}"
        "{{ eos_token }}\n{% endfor %}\n{% if add_generation_prompt %}assistant: {% endif %}");
    folder_.write("model/tokenizer_config.json",
                  R"({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"})");
  }
  std::filesystem::path path() const { return folder_.path() / "model"; }
  std::vector<MultipleChoiceItem> read(const std::filesystem::path& file,
                                       const std::string& name = "") const {
    const auto tokenizer = tokenizer::load_tokenizer(path());
    return evaluation::read_task(
        file, {.folder = path(), .name = name, .special_tokens = tokenizer->special_tokens()});
  }

 private:
  test::TemporaryFolder folder_;
};

TEST(MultipleChoice, ChatsEqualLmEvalsWithTheChatTemplate) {
  const ChatModel model;
  const auto folder = test::golden() / "evaluation";
  const json golden = read_json(folder / "multiple_choice_chat.json");
  const MultipleChoiceResult result =
      run(model.read(folder / "multiple_choice_chat.jsonl"), model.path());
  expect_loglikelihoods(result, golden);
}

TEST(MultipleChoice, RowsThatAskInAChat) {
  const ChatModel model;
  const test::TemporaryFolder folder;
  const std::string rest = R"(, "choices": ["b", "c"], "answer": 1})";
  const auto file = folder.write("task.json", "[{\"prompt\": \"a\"" + rest + ",\n" +
                                                  R"({"instruction": "x", "input": "y")" + rest +
                                                  ",\n" + R"({"context": "plain")" + rest + "]");
  const auto items = model.read(file);
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0].context, "user: a</s>\nassistant: ");
  EXPECT_EQ(items[1].context, "user: x\n\ny</s>\nassistant: ");
  EXPECT_EQ(items[2].context, "plain");
  EXPECT_FALSE(items[2].is_chat);
  const auto joined = model.read(file, "none");
  EXPECT_EQ(joined[1].context, "x\n\ny");
  EXPECT_FALSE(joined[1].is_chat);
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_task(file); }),
              testing::AllOf(HasSubstr("task.json:1: the item is a chat, but"),
                             HasSubstr("--chat-template none")));
}

TEST(MultipleChoice, WithoutBosAnEmptyContextIsNamed) {
  const MultipleChoiceItem good = {.context = "a", .choices = {"b", "c"}};
  EXPECT_EQ(error_of(ErrorKind::kInput,
                     [&] {
                       run({good, {.context = "", .choices = {"b", "c"}}});
                     }),
            "item 1, choice 0: 'context' is empty, and the tokenizer names no BOS or EOS to stand "
            "in its place");
  EXPECT_EQ(error_of(ErrorKind::kInput,
                     [&] {
                       run({{.context = "  ", .choices = {"b", "c"}}});
                     }),
            "item 0, choice 0: 'context' has no tokens");
}

TEST(MultipleChoice, AnIdBeyondTheVocabularyIsNamed) {
  const ModelWithBos model;
  json tokenizer = read_json(model.path() / "tokenizer.json");
  tokenizer["added_tokens"].push_back({{"id", 4096},
                                       {"content", "<new>"},
                                       {"special", true},
                                       {"single_word", false},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", false}});
  std::ofstream(model.path() / "tokenizer.json") << tokenizer.dump();
  EXPECT_EQ(error_of(ErrorKind::kInput,
                     [&] {
                       run({{.context = "a", .choices = {"b", "<new>"}}}, model.path());
                     }),
            "item 0, choice 1: " + model.path().string() +
                ": the tokenizer gives id 4096, but the model's vocabulary has 4096 "
                "entries; do they "
                "belong together?");
}

TEST(MultipleChoice, FaultyTasksAreNamedByLine) {
  const test::TemporaryFolder folder;
  const std::string good = R"({"context": "a", "choices": ["b", "c"], "answer": 1})"
                           "\n\n";
  const auto read = [&](const std::string& line) {
    const auto file = folder.write("task.jsonl", good + line);
    return error_of(ErrorKind::kInput, [&] { read_task(file); });
  };
  EXPECT_THAT(read("{"), HasSubstr("task.jsonl:3: "));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b"], "answer": 0})"),
              HasSubstr("fewer than two"));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b", "c"], "answer": 2})"),
              HasSubstr("'answer' 2 is not an index into the 2 choices"));
  EXPECT_THAT(read(R"({"context": "a", "choices": ["b", ""], "answer": 0})"),
              HasSubstr("an empty text"));
  EXPECT_THAT(read(R"({"context": "a", "answer": 0})"), HasSubstr("'choices'"));
  const auto empty = folder.write("empty.jsonl", "\n");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { read_task(empty); }),
              HasSubstr("contains no items"));
}

}  // namespace
}  // namespace prune::evaluation
