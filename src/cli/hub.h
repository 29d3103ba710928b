#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

// The Hugging Face hub as far as it lies on this machine, and the CLI that fetches the rest.
namespace prune::cli {

/// A repository at a revision, which is a branch, a tag or a commit.
struct HubRepository {
  bool dataset = false;
  std::string id;  ///< "org/name"
  std::string revision = "main";
};

/// "org/name[@revision]" as the hub allows it; none if the text is of another form.
std::optional<HubRepository> parse_hub_id(const std::string& text);

/// Folder of the hub cache, from HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME (FORMATS §9.1).
std::filesystem::path hub_cache();

/// The folder of the revision's commit in the hub cache, looked up offline (FORMATS §9.2); none if the
/// cache has no such revision. Which files lie in it is another question.
std::optional<std::filesystem::path> find_snapshot(const HubRepository& repository);

/// The command that fetches these files, or all of them, as it can be typed.
std::string download_command(const HubRepository& repository,
                             const std::vector<std::string>& files = {});

/// Fetches files into the hub cache by running `hf download`. Of several files, those that the
/// repository does not have are passed over; one alone must be there.
/// @throws Error(input): HF_HUB_OFFLINE is set, there is no `hf`, or it failed, with its own words.
void download(const HubRepository& repository, const std::vector<std::string>& files);

}  // namespace prune::cli
