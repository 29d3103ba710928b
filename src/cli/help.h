#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace prune::cli {

/// The meaning of the exit codes.
inline constexpr const char* kExitCodes =
    "0 done, 1 above the baseline, 2 usage, 3 bad input, 4 numeric, 5 device or memory, 6 output, "
    "70 our bug, 130 interrupted";

/// Groups the parser's help and wraps it to 80 columns: --help leaves out the group "In detail", --help-all
/// has it.
void format_help(CLI::App& app);

/// An option as help, the manual page and the completion scripts show it.
struct ShownOption {
  std::string names;                    ///< "-h, --help"
  std::vector<std::string> long_names;  ///< "help"; without the dashes
  bool positional = false;
  std::string
      value;  ///< "FILE", "a|b|c"; "N": a whole number, "X": any number; empty: takes no value
  std::string description;
  std::string default_value;  ///< empty: none worth showing
};

struct ShownGroup {
  std::string name;
  std::vector<ShownOption> options;
};

/// The groups of options in the order in which help shows them: "General" and "In detail" last.
std::vector<ShownGroup> shown_groups(const CLI::App& app);
/// All options, in the order in which they were added.
std::vector<ShownOption> shown_options(const CLI::App& app);

std::string name_of(const CLI::App& app);
std::string description_of(const CLI::App& app);

/// The words of a choice ("a|b|c"), without placeholders ("N:M").
std::vector<std::string> choices(const std::string& value);

/// Breaks text at blanks into lines of at most `width` columns.
std::vector<std::string> wrapped(const std::string& text, size_t width);

}  // namespace prune::cli
