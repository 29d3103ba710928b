#pragma once

#include <nlohmann/json_fwd.hpp>

#include "commands.h"

namespace CLI {
class Option;
}

namespace prune::cli {

/// Lets `--config FILE` read a JSON object with the flags' names, without dashes, as keys. Flags on the
/// command line override it. An unknown key is an Error(usage) that names the nearest known one.
void read_recipes(CLI::App& app);

/// Parses the arguments, or hands the parser to `invocation.describe`.
/// @return false if nothing is left to do (--help, --version, describe).
/// @throws Error(usage) of one line; for an unknown flag it names the nearest known one.
bool parse_arguments(CLI::App& app, const Invocation& invocation);

/// True when the option takes a number.
bool is_number(const CLI::Option& option);

/// All options with their values, under the keys that a recipe uses; the report keeps them.
nlohmann::json options_json(const CLI::App& app);

}  // namespace prune::cli
