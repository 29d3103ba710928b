#pragma once

#include <filesystem>
#include <string>

namespace prune::cli {

/// What of a model a command cannot do without.
enum class ModelParts { kAll, kConfig };

/// The folder of what --model names: a directory, a short name, or a hub id `org/name[@revision]`
/// looked up in the hub cache, offline (FORMATS §9.2). With `may_download`, what a model that is in the
/// cache not at all or in part still lacks is fetched: config, tokenizer and weights of one format; or
/// config.json alone, where that is all that is needed.
/// @throws Error(input): nothing of this name, with the nearest known one; or known but not in the
///         cache, with the command that fetches it.
std::filesystem::path find_model(const std::string& model, bool may_download,
                                 ModelParts needed = ModelParts::kAll);

/// `org/name` of a short name or of `org/name[@revision]`; empty for a folder and for what is neither.
std::string hub_id_of(const std::string& model);

/// The last part of a path or id, for naming outputs.
std::string model_base_name(const std::string& model);

}  // namespace prune::cli
