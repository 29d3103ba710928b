#include <prune/core/json_file.h>
#include <prune/jinja/template.h>

#include <optional>

#include "support.h"

namespace prune::jinja {
namespace {

using nlohmann::ordered_json;

/// What Transformers renders (scripts/golden/jinja.py).
const ordered_json& golden_cases() {
  static const ordered_json kFile =
      ordered_json::parse(read_file(test::golden() / "jinja/cases.json"));
  return kFile;
}

/// Renders and compares with a record: the text, or an exception. raise_exception() is jinja2's TemplateError.
void expect_as_recorded(const std::string& source, const ordered_json& context,
                        const ordered_json& record) {
  SCOPED_TRACE(source.substr(0, 200) + "\n" + record.dump());
  const auto now = golden_cases()["now"].get<int64_t>();
  try {
    const std::string text = Template("template", source).render(context, now);
    ASSERT_TRUE(record.contains("text")) << "Transformers raises, we render: " << text;
    EXPECT_EQ(text, record["text"].get<std::string>());
  } catch (const Refusal& refusal) {
    EXPECT_EQ(record.value("raises", ""), "TemplateError");
    EXPECT_EQ(refusal.reason(), record.value("message", ""));
  } catch (const Error& error) {
    EXPECT_TRUE(record.contains("raises")) << error.what();
    EXPECT_NE(record.value("raises", ""), "TemplateError") << error.what();
    EXPECT_EQ(std::string(error.what()).rfind("template:", 0), 0U) << error.what();
  }
}

TEST(SmallTemplates, RenderAsTransformersDoes) {
  const ordered_json& file = golden_cases();
  EXPECT_GT(file["cases"].size(), 1000U);
  for (const ordered_json& one : file["cases"]) {
    expect_as_recorded(one["template"].get<std::string>(), file["context"], one);
  }
}

TEST(ChatTemplates, RenderAsTransformersDoes) {
  const ordered_json& file = golden_cases();
  EXPECT_GE(file["chats"].size(), 250U);
  for (const ordered_json& one : file["chats"]) {
    const auto name = one["file"].get<std::string>();
    SCOPED_TRACE(name);
    expect_as_recorded(read_file(test::golden() / "jinja" / name),
                       file["conversations"][one["conversation"].get<std::string>()], one);
  }
}

}  // namespace
}  // namespace prune::jinja
