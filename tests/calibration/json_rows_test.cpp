#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of_load;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class JsonRows : public testing::Test {
 protected:
  TextSource load(const std::string& name, const std::string& content,
                  std::optional<std::string> field = {}) const {
    return load_text({.name = name, .path = folder_.write(name, content), .field = field});
  }
  std::string error(const std::string& name, const std::string& content,
                    std::optional<std::string> field = {}) const {
    return error_of_load({.name = name, .path = folder_.write(name, content), .field = field});
  }

  TemporaryFolder folder_;
};

TEST_F(JsonRows, OfEveryForm) {
  const auto are_right = ElementsAre("one", "a \"b\" [c] {d}, \\");
  const std::string one = R"({"text": "one", "meta": {"list": [1, [2, "]"]]}})";
  const std::string two = R"({"id": 2, "text": "a \"b\" [c] {d}, \\"})";
  for (const std::string& content :
       {one + "\n" + two, "[" + one + "," + two + "]", "\n[\n " + one + " ,\n" + two + "\n]\n",
        "{\"version\": \"x\", \"data\": [" + one + ", " + two + "]}",
        "{\n\"rows\": [\n" + one + ",\n" + two + "\n],\n\"n\": 2}\n",
        "{\n\"text\":\n\"one\"}\n" + two}) {
    EXPECT_THAT(load("a.json", content).documents, are_right) << content;
  }
  EXPECT_THAT(load("a.jsonl", one + "\n" + two).documents, are_right);
  EXPECT_THAT(load("a.jsonl", "[" + one + ",\n" + two + "]").documents, are_right);
}

TEST_F(JsonRows, MayBePlainStrings) {
  EXPECT_THAT(load("a.json", R"(["one", "", "two"])").documents, ElementsAre("one", "", "two"));
  EXPECT_THAT(load("a.jsonl", "\"one\"\n\"two\"\n").documents, ElementsAre("one", "two"));
  EXPECT_THAT(error("a.json", R"(["one"])", "body"),
              HasSubstr("a.json:1: the row is a JSON string; an object with 'body' is expected"));
  EXPECT_THAT(error("a.json", R"(["one",
 3])"),
              HasSubstr("a.json:2: the row is a JSON number"));
}

TEST_F(JsonRows, AFieldIsFoundByNameAlsoWithinObjects) {
  const std::string rows =
      R"({"text": "no", "body": "one", "a.b": "dot", "a": {"c": {"d": "deep"}}})";
  EXPECT_THAT(load("a.jsonl", rows, "body").documents, ElementsAre("one"));
  EXPECT_THAT(load("a.jsonl", rows, "a.b").documents, ElementsAre("dot"));
  EXPECT_THAT(load("a.jsonl", rows, "a.c.d").documents, ElementsAre("deep"));
  EXPECT_EQ(load("a.jsonl", rows, "body").about.field, "body");
  EXPECT_THAT(load("a.jsonl", rows, "body").about.guesses, testing::IsEmpty());
  EXPECT_THAT(error("a.jsonl", rows, "a.x"),
              AllOf(HasSubstr("a.jsonl:1: key 'a.x' is missing; the row has a, a.b, body, text"),
                    HasSubstr("--text-field")));
  EXPECT_THAT(error("a.jsonl", rows, "a"), HasSubstr("key 'a' has the wrong type: {\"c\""));
}

TEST_F(JsonRows, ContentInPlaceOfTextIsAGuess) {
  const TextSource source = load("a.jsonl", "{\"content\": \"one\"}\n{\"content\": \"two\"}\n");
  EXPECT_THAT(source.documents, ElementsAre("one", "two"));
  EXPECT_THAT(source.about.guesses, ElementsAre("the rows have no 'text'; 'content' is read"));
  EXPECT_THAT(load("a.jsonl", R"({"content": "no", "text": "one"})").about.guesses,
              testing::IsEmpty());
  // The first row decides.
  EXPECT_THAT(error("a.jsonl", "{\"text\": \"one\"}\n{\"content\": \"two\"}\n"),
              HasSubstr("a.jsonl:2: key 'text' is missing; the row has content"));
  EXPECT_THAT(error("a.jsonl", R"({"content": [1]})"), HasSubstr("key 'text' is missing"));
}

TEST_F(JsonRows, ChatsNeedATemplateOrAField) {
  for (const auto& [row, form] : std::vector<std::pair<std::string, std::string>>{
           {R"({"messages": [{"role": "user", "content": "x"}]})", "chats (messages with roles)"},
           {R"({"conversations": []})", "chats (messages with roles)"},
           {R"({"instruction": "x", "input": "", "output": "y"})", "instructions (alpaca"},
           {R"({"prompt": "x", "completion": "y"})", "prompts with answers"},
           {R"({"prompt": "x", "chosen": "y"})", "prompts with answers"}}) {
    EXPECT_THAT(error("a.jsonl", row),
                AllOf(HasSubstr("a.jsonl:1: the rows are " + form),
                      HasSubstr("has no chat template"), HasSubstr("--chat-template FILE")));
  }
  EXPECT_THAT(load("a.jsonl", R"({"instruction": "x", "output": "y"})", "output").documents,
              ElementsAre("y"));
  EXPECT_THAT(load("a.jsonl", R"({"messages": [], "text": "x"})").documents, ElementsAre("x"));
}

TEST_F(JsonRows, HalfASurrogatePairMattersInTheTextOnly) {
  const std::string good = "{\"text\": \"x\"}\n";
  for (const char* bad :
       {R"(\ud83d)", R"(\ude00)", R"(\ud83d\ud83d\ude00)", R"(\ud83dx)", R"(\ud83d\n)"}) {
    EXPECT_THAT(error("a.jsonl", good + "{\"text\": \"x" + bad + "\"}"),
                HasSubstr("a.jsonl:2: the text has half a surrogate pair"))
        << bad;
  }
  EXPECT_THAT(error("a.jsonl", R"({"page": {"text": "\udfff"}})", "page.text"),
              HasSubstr("half a surrogate pair"));
  EXPECT_THAT(error("a.json", R"(["\ud800"])"), HasSubstr("half a surrogate pair"));
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_THAT(
      load("a.jsonl", R"({"user": "\ud83d", "text": "\ud83d\ude00 \ufffd", "n": NaN})").documents,
      ElementsAre("😀 " + mark));
  EXPECT_THAT(load("a.jsonl", R"({"text": "\\ud83d \ufffd"})").documents,
              ElementsAre("\\ud83d " + mark));
}

TEST_F(JsonRows, NamesWhereADocumentIsBroken) {
  EXPECT_THAT(error("a.json", "[{\"text\": \"x\"},\n{\"text\": \"y\"}"),
              HasSubstr("a.json: not valid JSON: what opens in line 1 does not end"));
  EXPECT_THAT(error("a.json", "[{\"text\": \"x\"}\n{\"text\": \"y\"}]"),
              HasSubstr("a.json: not valid JSON: ']' is missing in line 2"));
  EXPECT_THAT(error("a.json", "[{\"text\": \"x\"},\n]"),
              HasSubstr("a.json: not valid JSON: ']' in line 2"));
  EXPECT_THAT(error("a.json", "[\n{\"text\": \"x\"},\n{\"text\" \"y\"}]"),
              HasSubstr("a.json:3: not valid JSON"));
  EXPECT_THAT(error("a.json", "[" + std::string(100'000, '[')),
              HasSubstr("a.json: not valid JSON"));
  EXPECT_THAT(error("a.json", "[" + std::string(1000, '[') + std::string(1001, ']')),
              HasSubstr("a.json:1: JSON is nested deeper"));
  EXPECT_THAT(error("a.json", "[]"), HasSubstr("contains no text"));
}

}  // namespace
}  // namespace prune::calibration
