#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

// The part of CLI11 that commands use, without its header: including that adds 4 s to a source's compile time.
namespace CLI {
class App;
}

namespace prune::cli {

struct DeleteApp {
  void operator()(CLI::App* app) const;
};
using AppPointer = std::unique_ptr<CLI::App, DeleteApp>;

/// A parser with --help and --help-all.
AppPointer make_parser(const std::string& name, const std::string& description);

/// Puts the options that are added from here on into this group of the help.
void set_group(CLI::App& app, const std::string& group);

/// Adds an option that stores its value in `value`, whose present content is the default.
/// @tparam Value     std::string, std::filesystem::path, double, int, int64_t, uint64_t; a vector of strings
///                   takes several values
/// @param name       "--flag", or a word without dashes for a positional
/// @param type_name  the value as help shows it; empty: N or X for a number, TEXT otherwise
template <class Value>
void add_option(CLI::App& app, const std::string& name, Value& value,
                const std::string& description, const std::string& type_name = "");
/// Adds an option that only accepts values above 0.
void add_positive_option(CLI::App& app, const std::string& name, int64_t& value,
                         const std::string& description);

/// Adds a flag without value.
void add_flag(CLI::App& app, const std::string& name, bool& value, const std::string& description);
/// Adds a flag that prints `text` and ends the program.
void add_version_flag(CLI::App& app, const std::string& name,
                      const std::function<std::string()>& text, const std::string& description);

/// Makes it a usage error to give both options.
void exclude(CLI::App& app, const std::string& name, const std::string& other);
/// Help shows no default for this option.
void hide_default(CLI::App& app, const std::string& name);

/// True when the command line or the recipe has the option.
bool is_given(const CLI::App& app, const std::string& name);

}  // namespace prune::cli
