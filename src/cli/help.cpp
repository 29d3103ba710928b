#include "help.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <sstream>

#include "command_line.h"
#include "recipe.h"

namespace prune::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kLabelColumns = 25;

std::string command_list() {
  std::string text = "\nCommands, each with its own --help:\n";
  for (const Command& command : commands()) {
    if (command.word.empty()) continue;
    text += fmt::format("  prune {:<10} {}\n", command.word, command.summary);
  }
  return text;
}

std::string option_lines(const ShownOption& option) {
  std::string label = "  " + option.names;
  if (!option.value.empty()) label += (option.names.empty() ? "" : " ") + option.value;
  std::string description = option.description;
  if (!option.default_value.empty()) description += fmt::format(" [{}]", option.default_value);
  std::string text;
  if (label.size() + 1 > kLabelColumns) {
    text = label + "\n";
    label.clear();
  }
  for (const std::string& line : wrapped(description, kColumns - kLabelColumns)) {
    text += fmt::format("{:<{}}{}\n", label, kLabelColumns, line);
    label.clear();
  }
  return text;
}

class Help : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string /*name*/,
                        CLI::AppFormatMode mode) const override {
    std::string text = app->get_description() + "\n\nUsage: " + app->get_name() + " [options]";
    for (const ShownOption& option : shown_options(*app)) {
      if (option.positional) text += " " + option.value;
    }
    text += "\n";
    for (const ShownGroup& group : shown_groups(*app)) {
      if (group.name == kMore && mode != CLI::AppFormatMode::All) continue;
      text += "\n" + group.name + ":\n";
      for (const ShownOption& option : group.options) text += option_lines(option);
    }
    if (mode == CLI::AppFormatMode::All) {
      const auto lines = wrapped(fmt::format("Exit codes: {}.", kExitCodes), kColumns);
      text += fmt::format("\n{}\n", fmt::join(lines, "\n"));
    } else if (app->get_name() == "prune") {
      text += command_list();
    }
    return text;
  }
};

ShownOption shown(const CLI::Option& option) {
  ShownOption result{.long_names = option.get_lnames(),
                     .positional = option.get_positional(),
                     .description = option.get_description()};
  for (const std::string& name : option.get_snames()) result.names += "-" + name + ", ";
  for (const std::string& name : option.get_lnames()) result.names += "--" + name + ", ";
  if (result.names.size() > 2) result.names.resize(result.names.size() - 2);
  if (option.get_expected_max() == 0) return result;
  result.value = option.get_type_name();
  if (is_number(option)) result.value = result.value == "FLOAT" ? "X" : "N";
  // Where a default of 0 has a meaning, the description gives it ("0: all").
  const std::string default_value = option.get_default_str();
  if (!result.positional && default_value != "0") result.default_value = default_value;
  return result;
}

}  // namespace

void format_help(CLI::App& app) { app.formatter(std::make_shared<Help>()); }

std::vector<ShownGroup> shown_groups(const CLI::App& app) {
  std::vector<ShownGroup> groups;
  for (const std::string& name : app.get_groups()) {
    ShownGroup group{.name = name};
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_group() == name) group.options.push_back(shown(*option));
    }
    if (!group.options.empty()) groups.push_back(std::move(group));
  }
  std::ranges::stable_sort(groups, {}, [](const ShownGroup& group) {
    return group.name == kMore ? 2 : group.name == kGeneral ? 1 : 0;
  });
  return groups;
}

std::vector<ShownOption> shown_options(const CLI::App& app) {
  std::vector<ShownOption> options;
  for (const CLI::Option* option : app.get_options()) options.push_back(shown(*option));
  return options;
}

std::string name_of(const CLI::App& app) { return app.get_name(); }
std::string description_of(const CLI::App& app) { return app.get_description(); }

std::vector<std::string> choices(const std::string& value) {
  std::vector<std::string> words;
  if (value.find('|') == std::string::npos) return words;
  std::istringstream stream(value);
  for (std::string word; std::getline(stream, word, '|');) {
    // Capitals mark a placeholder that the user fills in.
    if (std::ranges::none_of(word, [](unsigned char c) { return std::isupper(c); })) {
      words.push_back(word);
    }
  }
  return words;
}

std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width)
      lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

}  // namespace prune::cli
