#include <prune/core/version.h>

#include "command_line.h"
#include "help.h"
#include "recipe.h"

namespace prune::cli {
namespace {

// Text for roff: backslashes, hyphens as they are typed, and no line that looks like a request.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result.starts_with('.') || result.starts_with('\'') ? "\\&" + result : result;
}

std::string option_entry(const CLI::Option& option) {
  const ShownOption what = shown(option);
  std::string text = ".TP\n";
  if (!what.names.empty()) text += fmt::format("\\fB{}\\fR ", roff(what.names));
  text += fmt::format("\\fI{}\\fR\n{}\n", roff(what.value), roff(what.description));
  if (!what.default_value.empty()) text += fmt::format("[{}]\n", roff(what.default_value));
  return text;
}

std::string page() {
  std::string text = fmt::format(
      ".TH PRUNE 1 \"\" \"prune {}\" \"User Commands\"\n"
      ".SH NAME\nprune \\- prunes a large language model after training\n"
      ".SH SYNOPSIS\n",
      version());
  std::string sections;
  for_each_parser([&](const Command& command, const CLI::App& app) {
    text += fmt::format(".B {}\n[options]\n.br\n", roff(app.get_name()));
    std::string title = app.get_name();
    std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::toupper(c); });
    sections += fmt::format(".SH {}\n{}\n", title, roff(app.get_description()));
    for (const std::string& group : help_groups(app)) {
      sections += fmt::format(".SS {}\n", group);
      for (const CLI::Option* option : options_of(app, group)) sections += option_entry(*option);
    }
    if (command.word.empty()) {
      sections += ".SS Commands\n";
      for (const Command& other : commands()) {
        if (other.word.empty()) continue;
        sections +=
            fmt::format(".TP\n.B prune {}\n{}\n", other.word, roff(std::string(other.summary)));
      }
    }
  });
  return text + sections +
         fmt::format(".SH EXIT STATUS\n{} (\\fB\\-\\-resume\\fR goes on).\n", kExitCodes);
}

}  // namespace

int run_man_command(const Invocation& invocation) {
  CLI::App app("Prints this manual's page: prune man | man -l -", "prune man");
  set_help(app);
  if (!parse_arguments(app, invocation)) return 0;
  fmt::print("{}", page());
  return 0;
}

}  // namespace prune::cli
