#include "hub.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <regex>
#include <sstream>

#include "run_program.h"

namespace prune::cli {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

// Without HOME, as in some batch jobs, the user database knows the folder.
fs::path home() {
  if (const auto folder = environment("HOME")) return *folder;
  const passwd* const user = getpwuid(getuid());
  return user != nullptr ? user->pw_dir : "/";
}

// Replaces $NAME and ${NAME}; names that are not set stay, as in Python's os.path.expandvars.
std::string with_variables(const std::string& text) {
  static const std::regex kVariable(R"(\$(\w+|\{[^}]*\}))");
  std::string result;
  auto at = text.begin();
  for (std::sregex_iterator match(text.begin(), text.end(), kVariable), end; match != end;
       ++match) {
    std::string name = (*match)[1];
    if (name.front() == '{') name = name.substr(1, name.size() - 2);
    result.append(at, text.begin() + match->position());
    const char* const value = std::getenv(name.c_str());
    result += value != nullptr ? value : match->str();
    at = text.begin() + match->position() + match->length();
  }
  return result.append(at, text.end());
}

// huggingface_hub expands a leading tilde and variables: a shell does not where they are quoted.
fs::path expanded(const std::string& path) {
  const std::string text = with_variables(path);
  return text == "~" || text.starts_with("~/")
             ? home() / text.substr(std::min<size_t>(2, text.size()))
             : fs::path(text);
}

bool is_set(const char* name) {
  std::string value = environment(name).value_or("");
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

// Letters, digits, '-', '_' and '.'; a leading '-' would read as a flag of hf, a leading '.' as a folder.
bool is_repository_part(const std::string& part) {
  return !part.empty() && part[0] != '-' && part[0] != '.' &&
         std::ranges::all_of(part, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

// A revision becomes a path below refs/, so it must not leave that folder.
bool is_revision(const std::string& revision) {
  const fs::path path = revision;
  return !revision.empty() && revision[0] != '-' && path.is_relative() &&
         std::ranges::find(path, "..") == path.end();
}

bool is_commit(const std::string& revision) {
  return revision.size() == 40 &&
         revision.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::vector<std::string> download_arguments(const HubRepository& repository,
                                            const std::vector<std::string>& files) {
  std::vector<std::string> arguments = {"hf", "download", repository.id};
  arguments.insert(arguments.end(), files.begin(), files.end());
  if (repository.dataset) arguments.insert(arguments.end(), {"--repo-type", "dataset"});
  if (repository.revision != "main") {
    arguments.insert(arguments.end(), {"--revision", repository.revision});
  }
  return arguments;
}

// Drops colour codes: ESC [ numbers m.
std::string without_colours(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text.compare(at, 2, "\x1b[") == 0) {
      const size_t end = text.find_first_not_of("0123456789;", at + 2);
      if (end != std::string::npos && text[end] == 'm') {
        at = end;
        continue;
      }
    }
    result += text[at];
  }
  return result;
}

// The line of hf's stderr that states the error, without colour codes: newer versions print "Error..."
// and hints below it, older ones a traceback whose last line counts.
std::string reason(const std::string& err) {
  std::istringstream lines(without_colours(err));
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Error")) return line;
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  return last;
}

}  // namespace

std::optional<HubRepository> parse_hub_id(const std::string& text) {
  const size_t at = text.find('@');
  HubRepository repository{.id = text.substr(0, at)};
  if (at != std::string::npos) repository.revision = text.substr(at + 1);
  const size_t slash = repository.id.find('/');
  if (slash == std::string::npos || !is_repository_part(repository.id.substr(0, slash)) ||
      !is_repository_part(repository.id.substr(slash + 1)) || !is_revision(repository.revision)) {
    return std::nullopt;
  }
  return repository;
}

fs::path hub_cache() {
  if (const auto cache = environment("HF_HUB_CACHE")) return expanded(*cache);
  if (const auto cache = environment("HUGGINGFACE_HUB_CACHE")) return expanded(*cache);
  if (const auto folder = environment("HF_HOME")) return expanded(*folder) / "hub";
  if (const auto cache = environment("XDG_CACHE_HOME")) return expanded(*cache) / "huggingface/hub";
  return home() / ".cache/huggingface/hub";
}

std::optional<fs::path> find_snapshot(const HubRepository& repository) {
  std::string folder = repository.id;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path root = hub_cache() / ((repository.dataset ? "datasets--" : "models--") + folder);
  std::string commit = repository.revision;
  if (!is_commit(commit)) {
    const fs::path reference = root / "refs" / repository.revision;
    if (!fs::is_regular_file(reference)) return std::nullopt;
    commit = read_file(reference);
    if (!is_commit(commit)) {
      throw Error(ErrorKind::kInput,
                  fmt::format("{}: does not contain a commit hash", reference.string()));
    }
  }
  const fs::path snapshot = root / "snapshots" / commit;
  return fs::is_directory(snapshot) ? std::optional(snapshot) : std::nullopt;
}

std::string download_command(const HubRepository& repository,
                             const std::vector<std::string>& files) {
  return fmt::format("{}", fmt::join(download_arguments(repository, files), " "));
}

void download(const HubRepository& repository, const std::vector<std::string>& files) {
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    if (!is_set(name)) continue;
    throw Error(ErrorKind::kInput, fmt::format("--download: {} is set, which forbids fetching {}",
                                               name, repository.id));
  }
  spdlog::info(download_command(repository, files));
  const auto result = run_program(download_arguments(repository, files));
  if (!result) {
    throw Error(ErrorKind::kInput,
                fmt::format("--download: the Hugging Face CLI 'hf' is not on PATH; install it (pip "
                            "install huggingface_hub), or run on another machine: {}",
                            download_command(repository)));
  }
  if (result->exit_code != 0) {
    throw Error(
        ErrorKind::kInput,
        fmt::format("'{}' ended with exit code {}{}{}", download_command(repository),
                    result->exit_code, result->err.empty() ? "" : ": ", reason(result->err)));
  }
}

}  // namespace prune::cli
