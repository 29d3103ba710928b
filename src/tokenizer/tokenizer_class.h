#pragma once

#include <filesystem>
#include <string>

namespace prune::tokenizer {

/// The class with which AutoTokenizer opens a folder; empty for TokenizersBackend, which follows
/// tokenizer.json. The arguments are empty where the files do not say.
/// @param named         tokenizer_class of tokenizer_config.json, else of config.json
/// @param model_type    of config.json
/// @param has_auto_map  tokenizer_config.json names code of its own
std::string class_of_folder(const std::string& named, const std::string& model_type,
                            bool has_auto_map);

/// True for repositories of the Hub whose named class AutoTokenizer ignores: models--ORG--NAME of the Hub's cache,
/// or a folder ORG/NAME.
bool names_wrong_class(const std::filesystem::path& folder);

}  // namespace prune::tokenizer
