// Rows of chats: their ids equal those of Transformers' apply_chat_template (scripts/golden/chat.py).
#include <prune/calibration/calibration_set.h>
#include <prune/chat/chat_template.h>

#include "golden_ids.h"
#include "texts.h"

namespace prune::calibration {
namespace {

using test::error_of;
using test::fixtures;
using test::golden;
using test::TemporaryFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A checkpoint's folder with the tokenizer of the bundled model and the files of a golden case.
class ChatFolder {
 public:
  explicit ChatFolder(const json& files) {
    const std::filesystem::path tokenizer = "tokenizer.json";
    std::filesystem::copy(fixtures() / "opt-books-6m" / tokenizer, folder_.path() / tokenizer);
    folder_.write("config.json", R"({"model_type": "opt"})");
    json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"bos_token", "<s>"},
                   {"eos_token", "</s>"}};
    for (const auto& [name, content] : files.items()) {
      if (name == "tokenizer_config.json") {
        config.update(content);
      } else {
        std::filesystem::create_directories((folder_.path() / name).parent_path());
        folder_.write(name, content.get<std::string>());
      }
    }
    folder_.write("tokenizer_config.json", config.dump());
    tokenizer_ = tokenizer::load_tokenizer(folder_.path());
  }

  chat::TemplateChoice choice(const std::string& name = "") const {
    return {.folder = folder_.path(), .name = name, .special_tokens = tokenizer_->special_tokens()};
  }
  TextSource load(const std::string& rows, const std::string& template_name = "",
                  std::optional<std::string> field = {}) const {
    const TextFile file{
        .name = "rows", .path = folder_.write("rows.jsonl", rows), .field = std::move(field)};
    return load_text(file, choice(template_name));
  }
  std::string error(const std::string& rows, const std::string& template_name = "") const {
    return error_of(ErrorKind::kInput, [&] { load(rows, template_name); });
  }
  const tokenizer::Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_;
};

std::vector<int64_t> all_ids(const TextSource& text, const ChatFolder& folder,
                             tokenizer::AddBos add_bos = tokenizer::AddBos::kAuto) {
  const Tensor ids =
      evaluation_segments(text, folder.tokenizer(), {.seqlen = 1, .add_bos = add_bos}).ids;
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}

class GoldenChats : public testing::Test {
 protected:
  // The sequence of keys matters: tools are printed.
  const nlohmann::ordered_json golden_ =
      nlohmann::ordered_json::parse(read_file(golden() / "chat/rows.json"));
};

std::vector<int64_t> expected_ids(const nlohmann::ordered_json& one) {
  std::vector<int64_t> expected;
  for (const auto& row : one["ids"]) {
    for (const auto& id : row) expected.push_back(id);
  }
  return expected;
}

TEST_F(GoldenChats, HaveTheIdsOfTransformers) {
  for (const auto& one : golden_["cases"]) {
    SCOPED_TRACE(one["folder"].get<std::string>() + " " + one["form"].get<std::string>());
    const ChatFolder folder(json::parse(one["files"].dump()));
    const auto& rows = golden_["rows"][one["form"].get<std::string>()];
    std::string lines;
    for (const auto& row : rows) lines += row.dump() + "\n";
    const auto choice = one["chat_template"].get<std::string>();
    for (const std::string& content : {lines, rows.dump()}) {
      const TextSource text = folder.load(content, choice);
      EXPECT_EQ(all_ids(text, folder), expected_ids(one));
      EXPECT_TRUE(text.about.guesses.empty());
    }
    const auto& drawn = one["samples"];
    const TokenSet samples = sample_calibration(
        folder.load(lines, choice), folder.tokenizer(),
        {.nsamples = drawn["nsamples"], .seqlen = drawn["seqlen"], .seed = drawn["seed"]});
    EXPECT_EQ(samples.sha256, drawn["sha256"].get<std::string>());
    EXPECT_EQ(samples.texts[0].tokens_cut, drawn["tokens_cut"].get<int64_t>());
  }
}

TEST_F(GoldenChats, OfParquetHaveTheIdsOfTransformers) {
  for (const auto& one : golden_["cases"]) {
    if (one["form"] != "tools") continue;
    const ChatFolder folder(json::parse(one["files"].dump()));
    const TextFile file{.name = "tools", .path = golden() / "chat/tools.parquet"};
    const TextSource text = load_text(file, folder.choice());
    EXPECT_EQ(all_ids(text, folder), expected_ids(one)) << one["folder"];
    EXPECT_EQ(text.about.field, "messages");
  }
}

constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";

std::string row(const std::string& user, const std::string& answer) {
  return json({{"messages",
                {{{"role", "user"}, {"content", user}},
                 {{"role", "assistant"}, {"content", answer}}}}})
             .dump() +
         "\n";
}

TEST(Chats, TheReportSaysWhatBecameOfTheRows) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  const std::string rows = row("one two", "three") + "null\n{\"messages\": []}\n" +
                           "{\"messages\": null}\n" + row("four", "five six seven");
  const TokenSet set = sample_calibration(folder.load(rows), folder.tokenizer(),
                                          {.nsamples = 2, .seqlen = 6, .seed = 0});
  const TextDescription& about = set.texts[0];
  EXPECT_EQ(about.chat_template, "chat_template.jinja");
  EXPECT_EQ(about.field, "messages");
  EXPECT_EQ(about.rows, 2);
  EXPECT_EQ(about.null_rows, 3);
  EXPECT_EQ(about.rows_drawn, 2);
  EXPECT_EQ(about.rows_split, 2);
  EXPECT_EQ(about.rows_repeated, 0);
  EXPECT_EQ(about.tokens.value() - about.tokens_cut.value(), 12);
  EXPECT_TRUE(about.bos);
  EXPECT_THAT(about.guesses, IsEmpty());
  EXPECT_EQ(text_description(to_json(about)), about);
}

TEST(Chats, AreDrawnAgainIfThereAreTooFew) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  const TokenSet set = sample_calibration(folder.load(row("one", "two")), folder.tokenizer(),
                                          {.nsamples = 3, .seqlen = 16, .seed = 0});
  EXPECT_GT(set.texts[0].rows_repeated, 0);
  EXPECT_THAT(set.texts[0].guesses, ElementsAre(HasSubstr("conversations drawn more than once")));
}

TEST(Chats, RowsThatTheTemplateRefusesAreSkippedAndCounted) {
  const ChatFolder folder(
      {{"chat_template.jinja",
        std::string("{% if messages[0].content == 'bad' %}{{ raise_exception('not this') }}"
                    "{% endif %}") +
            kTemplate}});
  const TextSource text = folder.load(row("bad", "x") + row("good", "y") + row("bad", "z"));
  const TokenSet set = evaluation_segments(text, folder.tokenizer(), {.seqlen = 2});
  EXPECT_EQ(set.texts[0].rows_refused, 2);
  EXPECT_EQ(set.texts[0].rows_drawn, 1);
  EXPECT_THAT(set.texts[0].guesses,
              ElementsAre(AllOf(HasSubstr("the template refuses them: 2; conversation 0"),
                                HasSubstr("chat_template.jinja:1"), HasSubstr("not this"))));
  const TextSource bad = folder.load(row("bad", "x"));
  for (const auto& take :
       {std::function<void()>([&] { evaluation_segments(bad, folder.tokenizer(), {.seqlen = 2}); }),
        std::function<void()>(
            [&] { sample_calibration(bad, folder.tokenizer(), {.seqlen = 2}); })}) {
    EXPECT_THAT(
        error_of(ErrorKind::kInput, take),
        AllOf(HasSubstr("rows: the chat template refuses every row"), HasSubstr("not this")));
  }
  std::string many;
  for (int i = 0; i < 1000; ++i) many += row("bad", "x");
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] {
                         evaluation_segments(folder.load(many + row("good", "y")),
                                             folder.tokenizer(), {.seqlen = 2});
                       }),
              HasSubstr("refuses 100 of 100 rows"));
}

TEST(Chats, ImagesAreNotText) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  const std::string image =
      R"({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]})";
  const TokenSet set = evaluation_segments(folder.load(image + "\n" + row("a", "b")),
                                           folder.tokenizer(), {.seqlen = 2});
  EXPECT_EQ(set.texts[0].rows_refused, 1);
  EXPECT_THAT(set.texts[0].guesses[0], HasSubstr("a part that is not text"));
}

TEST(Chats, NoneJoinsTheTexts) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  EXPECT_THAT(folder.load(row("one", "two"), "none").documents, ElementsAre("one\n\ntwo"));
  EXPECT_THAT(folder.load(R"({"prompt": "one", "completion": " two"})", "none").documents,
              ElementsAre("one two"));
  EXPECT_THAT(folder.load(R"({"instruction": "a", "input": "b", "output": "c"})", "none").documents,
              ElementsAre("a\n\nb\n\nc"));
  EXPECT_EQ(folder.load(row("one", "two"), "none").about.chat_template, "none");
  // Plain text beside a chat is what "none" asks for.
  const std::string both = R"({"text": "plain", "prompt": "one", "completion": "two"})";
  EXPECT_THAT(folder.load(both, "none").documents, ElementsAre("plain"));
  EXPECT_FALSE(folder.load(both, "none").conversations);
}

TEST(Chats, TextBesideAChatIsAGuess) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  const std::string both = R"({"text": "plain", "prompt": "one", "completion": "two"})";
  const TextSource text = folder.load(both);
  EXPECT_TRUE(text.conversations);
  EXPECT_THAT(text.about.guesses, ElementsAre(HasSubstr("have 'text' as well")));
  EXPECT_THAT(folder.load(both, "default").about.guesses, IsEmpty());
  EXPECT_THAT(folder.load(both, "", "text").documents, ElementsAre("plain"));
  EXPECT_THAT(folder.load(both, "", "completion").documents, ElementsAre("two"));
  // Without a template the text is all there is.
  EXPECT_THAT(ChatFolder(json::object()).load(both).documents, ElementsAre("plain"));
}

TEST(Chats, TheFieldCanNameTheMessages) {
  const ChatFolder folder({{"chat_template.jinja", kTemplate}});
  const std::string dialog = R"({"dialog": [{"role": "user", "content": "one"}], "text": "plain"})";
  const TextSource text = folder.load(dialog, "", "dialog");
  EXPECT_TRUE(text.conversations);
  EXPECT_EQ(text.about.field, "dialog");
  EXPECT_EQ(all_ids(text, folder), folder.tokenizer().encode("<s>one</s>", false));
}

TEST(Chats, BosCanBeAskedFor) {
  const ChatFolder folder({{"chat_template.jinja", "{{ messages[0].content }}"}});
  const TextSource text = folder.load(row("one", "") + row("<s>two", ""));
  EXPECT_EQ(all_ids(text, folder), folder.tokenizer().encode("one<s>two", false));
  EXPECT_EQ(all_ids(text, folder, tokenizer::AddBos::kOn),
            folder.tokenizer().encode("<s>one<s>two", false));
}

TEST(Chats, SayWhatIsMissing) {
  const ChatFolder without(json::object());
  EXPECT_THAT(without.error(row("one", "two")),
              AllOf(HasSubstr("rows.jsonl:1: the rows are chats (messages with roles), but "),
                    HasSubstr("has no chat template"), HasSubstr("--chat-template none")));
  EXPECT_THAT(without.error(row("one", "two"), "chatml"),
              AllOf(HasSubstr("--chat-template 'chatml' is not a file"),
                    HasSubstr("has no chat templates")));
  const ChatFolder folder({{"tokenizer_config.json",
                            {{"chat_template", {{{"name", "rag"}, {"template", kTemplate}}}}}}});
  EXPECT_THAT(folder.error(row("one", "two")),
              HasSubstr("has the chat templates rag, none of them the default"));
  EXPECT_THAT(folder.error(row("one", "two"), "tool"), HasSubstr("has the chat templates rag"));
  EXPECT_EQ(folder.load(row("one", "two"), "rag").about.chat_template,
            "tokenizer_config.json (rag)");
  EXPECT_EQ(folder.load("{\"text\": \"plain\"}\n").about.chat_template, "")
      << "templates are read only for chats";
  const ChatFolder broken({{"chat_template.jinja", "{% for %}"}});
  EXPECT_THAT(broken.error(row("one", "two")), HasSubstr("chat_template.jinja:1: "));
  EXPECT_EQ(broken.load("{\"text\": \"plain\"}\n").documents.size(), 1);
  const std::string line = "rows.jsonl:1: ";
  for (const auto& [bad, message] : std::vector<std::pair<std::string, std::string>>{
           {R"({"messages": 3})", "key 'messages' is number; a list of messages is expected"},
           {R"({"messages": ["x"]})", "message 0 of 'messages': is string; an object"},
           {R"({"messages": [{"content": "x"}]})", "message 0 of 'messages': has no role"},
           {R"({"messages": [{"role": "user", "content": 3}]})", "key 'content' is number"},
           {R"({"messages": [{"role": "user"}], "tools": "[1"})", "key 'tools'"},
           {R"({"messages": [{"role": "user"}], "tools": [1]})", "key 'tools' is not a list"},
           {R"({"instruction": 1, "output": "x"})", "key 'instruction' is number, not text"},
           {R"({"messages": [{"role": "user", "content": "\ud83d"}]})", "half a surrogate"}}) {
    EXPECT_THAT(folder.error(bad, "rag"), AllOf(HasSubstr(line), HasSubstr(message))) << bad;
  }
  EXPECT_THAT(folder.error(row("one", "two") + "{\"text\": \"x\"}\n", "rag"),
              HasSubstr("rows.jsonl:2: key 'messages' is missing"));
}

}  // namespace
}  // namespace prune::calibration
