#include "model_names.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>

#include <cstdlib>
#include <map>
#include <optional>

namespace prune::cli {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

fs::path hub_cache() {
  if (const auto cache = environment("HF_HUB_CACHE")) return *cache;
  if (const auto cache = environment("HUGGINGFACE_HUB_CACHE")) return *cache;
  if (const auto home = environment("HF_HOME")) return fs::path(*home) / "hub";
  if (const auto cache = environment("XDG_CACHE_HOME")) return fs::path(*cache) / "huggingface/hub";
  return fs::path(environment("HOME").value_or("/")) / ".cache/huggingface/hub";
}

struct HubId {
  std::string organisation;
  std::string name;
  std::string revision = "main";
};

// "org/name[@revision]"; none if that is not the form.
std::optional<HubId> parse_hub_id(const std::string& text) {
  const size_t slash = text.find('/');
  const size_t at = text.find('@');
  if (slash == std::string::npos || slash == 0 || (at != std::string::npos && at < slash)) {
    return std::nullopt;
  }
  HubId id{.organisation = text.substr(0, slash), .name = text.substr(slash + 1, at - slash - 1)};
  if (at != std::string::npos) id.revision = text.substr(at + 1);
  if (id.name.empty() || id.name.find('/') != std::string::npos || id.revision.empty()) {
    return std::nullopt;
  }
  return id;
}

bool is_commit(const std::string& revision) {
  return revision.size() == 40 &&
         revision.find_first_not_of("0123456789abcdef") == std::string::npos;
}

fs::path find_in_cache(const HubId& id, const std::string& asked) {
  const fs::path repository = hub_cache() / fmt::format("models--{}--{}", id.organisation, id.name);
  const fs::path reference = repository / "refs" / id.revision;
  std::string commit = id.revision;
  if (!is_commit(commit) && fs::exists(reference)) commit = read_file(reference);
  const fs::path snapshot = repository / "snapshots" / commit;
  if (fs::exists(snapshot / "config.json")) return snapshot;
  const std::string revision = id.revision == "main" ? "" : " --revision " + id.revision;
  throw Error(
      ErrorKind::kInput,
      fmt::format("model '{}' is not in the hub cache {}; fetch it with: hf download {}/{}{}",
                  asked, hub_cache().string(), id.organisation, id.name, revision));
}

}  // namespace

fs::path find_model(const std::string& model) {
  if (fs::is_directory(model)) return model;
  const auto known = json::parse(models_json()).get<std::map<std::string, std::string>>();
  const auto found = known.find(model);
  if (const auto id = parse_hub_id(found == known.end() ? model : found->second)) {
    return find_in_cache(*id, model);
  }
  std::vector<std::string> names;
  for (const auto& [name, hub_id] : known) names.push_back(name);
  const std::string nearest = nearest_word(model, names);
  throw Error(
      ErrorKind::kInput,
      fmt::format("model '{}' is no folder and no known name{}", model,
                  nearest.empty() ? "; known names: " + fmt::format("{}", fmt::join(names, ", "))
                                  : "; did you mean '" + nearest + "'?"));
}

std::string model_base_name(const std::string& model) {
  const std::string path = model.substr(0, model.find('@'));
  const fs::path normal = fs::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

}  // namespace prune::cli
