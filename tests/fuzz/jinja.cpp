// Renders arbitrary templates: the template up to the first zero byte, then the context as JSON.
#include <prune/jinja/template.h>

#include <nlohmann/json.hpp>
#include <string>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view source = input.substr(0, end);
  const std::string_view json = input.substr(std::min(end + 1, input.size()));
  nlohmann::ordered_json context = nlohmann::ordered_json::parse(json, nullptr, false);
  if (!context.is_object()) context = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
  // Smaller than by default, so that a run sees many templates; the depth stays.
  const jinja::Limits limits{
      .steps = 200'000, .output_bytes = 1 << 20, .memory_bytes = int64_t{16} << 20};
  const auto render = [&] {
    return jinja::Template("template", source, limits).render(context, 1'753'963'445, limits);
  };
  return fuzz::survive([&] {
    const std::string text = render();
    fuzz::require(text.size() <= static_cast<size_t>(limits.output_bytes), "output is bounded");
    fuzz::require(render() == text, "rendering again gives the same text");
  });
}
