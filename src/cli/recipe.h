#pragma once

#include "commands.h"

namespace prune::cli {

/// Lets `--config F` read a JSON object whose keys are the flags' names without the dashes; a flag on
/// the command line overrides it. An unknown key is a usage error that names the nearest known one.
void read_recipes(CLI::App& app);

/// Parses, or shows the parser to who only wants to see it. Every fault is an Error(usage) of one line, an unknown flag with the nearest known one.
/// @return false if nothing is left to do (--help, --version).
bool parse_arguments(CLI::App& app, const Invocation& invocation);

/// True when the option takes a number.
bool is_number(const CLI::Option& option);

/// All options with their values, under the recipe's keys: what the report keeps.
nlohmann::json options_json(const CLI::App& app);

}  // namespace prune::cli
