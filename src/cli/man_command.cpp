#include <prune/core/version.h>

#include <algorithm>
#include <cctype>

#include "command_line.h"
#include "help.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

// Escapes text for roff: backslashes, hyphens (to stay ASCII) and a first character that starts a request.
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

std::string option_entry(const ShownOption& option) {
  std::string text = ".TP\n";
  if (!option.names.empty()) text += fmt::format("\\fB{}\\fR ", roff(option.names));
  text += fmt::format("\\fI{}\\fR\n{}\n", roff(option.value), roff(option.description));
  if (!option.default_value.empty()) text += fmt::format("[{}]\n", roff(option.default_value));
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
    text += fmt::format(".B {}\n[options]\n.br\n", roff(name_of(app)));
    std::string title = name_of(app);
    std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::toupper(c); });
    sections += fmt::format(".SH {}\n{}\n", title, roff(description_of(app)));
    for (const ShownGroup& group : shown_groups(app)) {
      sections += fmt::format(".SS {}\n", group.name);
      for (const ShownOption& option : group.options) sections += option_entry(option);
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
         fmt::format(".SH EXIT STATUS\n{} (\\fB\\-\\-resume\\fR continues).\n", kExitCodes);
}

}  // namespace

int run_man_command(const Invocation& invocation) {
  const auto app = make_parser("prune man", "Prints the manual page: prune man | man -l -");
  if (!parse_arguments(*app, invocation)) return 0;
  write_stdout(page());
  return 0;
}

}  // namespace prune::cli
