// render_tool
//
// Renders templates for scripts/check_templates.py. Reads lines {"template": text, "context": {...}, "now": seconds}
// on stdin and writes a line for each: {"text": ...}, or {"error": ..., "refusal": bool} with the template's own words as
// "reason" if it refuses.
#include <prune/jinja/template.h>

#include <iostream>
#include <string>

namespace {

using nlohmann::ordered_json;

ordered_json rendered(const ordered_json& request) {
  try {
    const prune::jinja::Template source("template", request.at("template").get<std::string>());
    return {{"text", source.render(request.at("context"), request.value("now", int64_t{0}))}};
  } catch (const prune::Error& error) {
    const auto* const refusal = dynamic_cast<const prune::jinja::Refusal*>(&error);
    ordered_json result = {{"error", error.what()}, {"refusal", refusal != nullptr}};
    if (refusal != nullptr) result["reason"] = refusal->reason();
    return result;
  }
}

}  // namespace

int main() {
  try {
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << rendered(ordered_json::parse(line)).dump() << "\n" << std::flush;
    }
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "render_tool: " << e.what() << "\n";
    return 3;
  }
}
