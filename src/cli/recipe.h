#pragma once

#include <CLI/CLI.hpp>

namespace prune::cli {

/// Lets `--config F` read a JSON object whose keys are the flags' names without the dashes; a flag on
/// the command line overrides it. An unknown key is a usage error that names the nearest known one.
void read_recipes(CLI::App& app);

/// Parses; every fault is an Error(usage) of one line, an unknown flag with the nearest known one.
/// @return false if the parser already answered (--help, --version).
bool parse_arguments(CLI::App& app, int argc, const char* const* argv);

/// All options with their values, under the recipe's keys: what the report keeps.
nlohmann::json options_json(const CLI::App& app);

}  // namespace prune::cli
