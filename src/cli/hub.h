#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

// The local cache of the Hugging Face hub, and the `hf` CLI that fills it.
namespace prune::cli {

/// A repository at a revision: a branch, a tag or a commit.
struct HubRepository {
  bool dataset = false;
  std::string id;  ///< "org/name"
  std::string revision = "main";
};

/// Parses "org/name[@revision]" by the hub's naming rules; nullopt for any other text.
std::optional<HubRepository> parse_hub_id(const std::string& text);

/// Folder of the hub cache: src/cli/README.md, "Hub cache".
std::filesystem::path hub_cache();

/// The snapshot folder of a revision, looked up in the hub cache without network access; nullopt if the
/// cache does not have the revision. The folder may lack files.
/// @throws Error(input) when the revision's reference is damaged.
std::optional<std::filesystem::path> find_snapshot(const HubRepository& repository);

/// The command that fetches these files, or all of them if `files` is empty, as a user can type it.
std::string download_command(const HubRepository& repository,
                             const std::vector<std::string>& files = {});

/// Fetches files into the hub cache with `hf download`. Of several files, those that the repository does
/// not have are skipped; a single file must exist.
/// @throws Error(input) when HF_HUB_OFFLINE is set, when `hf` is not on PATH, or with hf's own message
///         when it fails.
void download(const HubRepository& repository, const std::vector<std::string>& files);

}  // namespace prune::cli
