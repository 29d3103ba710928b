#pragma once

#include <filesystem>
#include <string>

namespace prune::cli {

/// The parts of a model that a command needs.
enum class ModelParts { kAll, kConfig };

/// The folder that --model names: a folder, a short name of configs/models.json or a hub id
/// `org/name[@revision]`, looked up in the hub cache without network access. With `may_download`, the
/// needed files that the cache lacks are fetched: config, tokenizer and the weights in one format, or
/// config.json alone for kConfig.
/// @throws Error(input) for an unknown name, with the nearest known one or the nearest folder beside it, and for a
///         model that is not in the cache, with the command that fetches it.
std::filesystem::path find_model(const std::string& model, bool may_download,
                                 ModelParts needed = ModelParts::kAll);

/// `org/name` of a short name or of `org/name[@revision]`; empty for a folder or an unknown name.
std::string hub_id_of(const std::string& model);

/// The last part of a path or hub id; outputs are named after it.
std::string model_base_name(const std::string& model);

}  // namespace prune::cli
