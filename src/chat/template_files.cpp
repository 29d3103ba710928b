#include "template_files.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/utf8.h>

namespace prune::chat {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "chat_template.jinja";
constexpr const char* kFolder = "additional_chat_templates";
constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kDefault = "default";
// The longest template of a published model has 20 kB.
constexpr int64_t kLimitBytes = int64_t{1} << 20;

std::map<std::string, TemplateText> templates_of_config(const json& config) {
  std::map<std::string, TemplateText> templates;
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return templates;
  if (found->is_string()) {
    templates[kDefault] = {kConfig, found->get<std::string>()};
    return templates;
  }
  const json named = require<json::array_t>(config, "chat_template");
  for (const json& entry : named) {
    const auto name = require<std::string>(entry, "name");
    templates[name] = {fmt::format("{} ({})", kConfig, name),
                       require<std::string>(entry, "template")};
  }
  return templates;
}

}  // namespace

TemplateText read_template(const fs::path& file, const std::string& place) {
  std::string text = read_file(file, kLimitBytes);
  const size_t broken = first_invalid_utf8(text);
  if (broken != text.size()) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: byte 0x{:02X} at offset {} is not UTF-8", file.string(),
                            static_cast<unsigned char>(text[broken]), broken));
  }
  return {place, std::move(text)};
}

std::map<std::string, TemplateText> templates_of(const fs::path& folder) {
  std::map<std::string, TemplateText> templates;
  if (fs::exists(folder / kFile)) templates[kDefault] = read_template(folder / kFile, kFile);
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder / kFolder, failure)) {
    if (entry.path().extension() != ".jinja") continue;
    const std::string name = entry.path().stem().string();
    templates[name] = read_template(entry.path(), fmt::format("{}/{}.jinja", kFolder, name));
  }
  if (!templates.empty() || !fs::exists(folder / kConfig)) return templates;
  const json config = read_json(folder / kConfig);
  try {
    return templates_of_config(config);
  } catch (Error& error) {
    throw error.in((folder / kConfig).string());
  }
}

}  // namespace prune::chat
