#include "help.h"

#include <fmt/format.h>

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

std::string option_lines(const CLI::Option& option) {
  const ShownOption what = shown(option);
  std::string label = "  " + what.names;
  if (!what.value.empty()) label += (what.names.empty() ? "" : " ") + what.value;
  std::string description = what.description;
  if (!what.default_value.empty()) description += fmt::format(" [{}]", what.default_value);
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
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) text += fmt::format(" {}", shown(*option).value);
    }
    text += "\n";
    for (const std::string& group : help_groups(*app)) {
      if (group == kMore && mode != CLI::AppFormatMode::All) continue;
      text += "\n" + group + ":\n";
      for (const CLI::Option* option : options_of(*app, group)) text += option_lines(*option);
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

}  // namespace

void set_help(CLI::App& app) {
  app.formatter(std::make_shared<Help>());
  app.option_defaults()->group(kGeneral);
  app.set_help_flag("-h,--help", "the flags used most")->group(kGeneral);
  app.set_help_all_flag("--help-all", "every flag, exit codes")->group(kGeneral);
}

std::vector<std::string> help_groups(const CLI::App& app) {
  std::vector<std::string> groups = app.get_groups();
  std::erase_if(groups, [&](const std::string& group) { return options_of(app, group).empty(); });
  std::ranges::stable_sort(groups, {}, [](const std::string& group) {
    return group == kMore ? 2 : group == kGeneral ? 1 : 0;
  });
  return groups;
}

std::vector<const CLI::Option*> options_of(const CLI::App& app, const std::string& group) {
  return app.get_options([&](const CLI::Option* option) { return option->get_group() == group; });
}

ShownOption shown(const CLI::Option& option) {
  ShownOption what;
  for (const std::string& name : option.get_snames()) what.names += "-" + name + ", ";
  for (const std::string& name : option.get_lnames()) what.names += "--" + name + ", ";
  if (what.names.size() > 2) what.names.resize(what.names.size() - 2);
  if (option.get_expected_max() != 0) {
    what.value = option.get_type_name();
    if (is_number(option)) what.value = what.value == "FLOAT" ? "X" : "N";
    what.default_value = option.get_default_str();
    // "0: all" stands in the description where 0 means something.
    if (option.get_positional() || what.default_value == "0") what.default_value.clear();
  }
  what.description = option.get_description();
  return what;
}

std::vector<std::string> choices(const std::string& value) {
  std::vector<std::string> words;
  if (value.find('|') == std::string::npos) return words;
  std::istringstream stream(value);
  for (std::string word; std::getline(stream, word, '|');) {
    // A capital stands for something the user fills in.
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
