#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace prune::cli {

/// What the exit codes mean.
inline constexpr const char* kExitCodes =
    "0 done, 1 above the baseline, 2 usage, 3 bad input, 4 numeric, 5 device or memory, 6 output, "
    "70 our bug, 130 interrupted";

/// Help in groups, wrapped to 80 columns: --help without the group "In detail", --help-all with it.
void set_help(CLI::App& app);

/// The groups of flags in the order in which help shows them: "General" and "In detail" last.
std::vector<std::string> help_groups(const CLI::App& app);
std::vector<const CLI::Option*> options_of(const CLI::App& app, const std::string& group);

/// What help, the manual page and the completion scripts show of an option.
struct ShownOption {
  std::string names;  ///< "-h, --help"
  std::string value;  ///< "FILE", "a|b|c"; "N" for a whole number, "X" for any; empty: takes none
  std::string description;
  std::string default_value;  ///< empty: none that is worth a word
};
ShownOption shown(const CLI::Option& option);

/// The words of a value that is a choice ("a|b|c"), without those that stand for something ("N:M").
std::vector<std::string> choices(const std::string& value);

/// Breaks text at blanks into lines of at most `width` columns.
std::vector<std::string> wrapped(const std::string& text, size_t width);

}  // namespace prune::cli
