// Rows of chats and the samples made of them; the first byte picks a template.
#include <prune/calibration/calibration_set.h>
#include <prune/chat/chat_template.h>

#include "fuzz/fuzz.h"

using namespace prune;

namespace {

/// One id a byte.
class ByteTokenizer : public tokenizer::Tokenizer {
 public:
  std::vector<int64_t> encode(std::string_view text, bool /*add_special_tokens*/) const override {
    return {text.begin(), text.end()};
  }
  std::string decode(const std::vector<int64_t>& ids, bool /*skip_special_tokens*/) const override {
    std::string text;
    for (const int64_t id : ids) text.push_back(static_cast<char>(id));
    return text;
  }
  int64_t vocab_size() const override { return 256; }
};

// Without a template; with the loop that most have; with tools, parts and refusals.
const std::vector<std::string> kTemplates = {
    "", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{% for p in m.content %}{{ p.text | trim }}{% endfor %}{{ m.tool_calls }}{% endfor %}"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  static const std::filesystem::path kFolder = [] {
    const std::filesystem::path folder = fuzz::make_folder();
    for (size_t i = 1; i < kTemplates.size(); ++i) {
      const fuzz::MemoryFile content;
      content.assign(kTemplates[i]);
      std::filesystem::copy_file(content.path(), folder / (std::to_string(i) + ".jinja"));
    }
    std::filesystem::create_symlink(kFile.path(), folder / "rows.json");
    return folder;
  }();
  if (size == 0) return 0;
  const size_t number = data[0] % kTemplates.size();
  kFile.assign(data + 1, size - 1);
  const chat::TemplateChoice choice{
      .name = number == 0 ? "none" : (kFolder / (std::to_string(number) + ".jinja")).string()};
  return fuzz::survive([&] {
    const calibration::TextSource text =
        calibration::load_text({.name = "rows", .path = kFolder / "rows.json"}, choice);
    const ByteTokenizer tokenizer;
    calibration::evaluation_segments(text, tokenizer, {.seqlen = 4});
    const calibration::TokenSet samples =
        calibration::sample_calibration(text, tokenizer, {.nsamples = 2, .seqlen = 4});
    fuzz::require(samples.ids.numel() == 8, "samples are full");
  });
}
