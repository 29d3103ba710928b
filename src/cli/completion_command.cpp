#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>

#include "command_line.h"
#include "configs.h"
#include "help.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

// Completions of an option's value or of a positional.
struct Values {
  std::string words = "";
  bool files = false;
  bool folders = false;
};

std::string names_in(const char* json_text) {
  std::vector<std::string> names;
  const json known = json::parse(json_text);
  for (const auto& [name, entry] : known.items()) names.push_back(name);
  return fmt::format("{}", fmt::join(names, " "));
}

Values values_of(const std::string& value) {
  if (value == kModel) return {.words = names_in(models_json()), .folders = true};
  if (value == kData) return {.words = names_in(datasets_json()), .files = true};
  if (value == kFile || value == kReports) return {.files = true};
  if (value == kFolder) return {.folders = true};
  return {.words = fmt::format("{}", fmt::join(choices(value), " "))};
}

std::string command_words(const char* separator) {
  std::vector<std::string_view> words;
  for (const Command& command : commands()) {
    if (!command.word.empty()) words.push_back(command.word);
  }
  return fmt::format("{}", fmt::join(words, separator));
}

// Quotes text for any shell with single quotes; `special` characters get a backslash.
std::string shell_quoted(const std::string& text, std::string_view special = "") {
  std::string result = "'";
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) result += '\\';
    result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return result + "'";
}

std::string bash_script() {
  std::string cases;
  for_each_parser([&](const Command& command, const CLI::App& app) {
    std::vector<std::string> flags;
    std::string rest;
    for (const ShownOption& option : shown_options(app)) {
      const Values values = values_of(option.value);
      const std::string files = values.files ? " files=-f" : values.folders ? " files=-d" : "";
      if (option.positional) {
        flags.push_back(values.words);
        rest = files;
      }
      for (const std::string& name : option.long_names) {
        flags.push_back("--" + name);
        if (option.value.empty()) continue;
        cases += fmt::format("    {}:--{}) words={}{} ;;\n", command.word, name,
                             shell_quoted(values.words), files);
      }
    }
    cases += fmt::format("    {}:*) words='{}'{} ;;\n", command.word, fmt::join(flags, " "), rest);
  });
  return fmt::format(R"(# bash completion for prune, written by `prune completion bash`
_prune() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command= words= files=
  [ "$COMP_CWORD" = 1 ] || case ${{COMP_WORDS[1]}} in {}) command=${{COMP_WORDS[1]}} ;; esac
  case $command:$prev in
{}  esac
  [ "$COMP_CWORD" != 1 ] || words+=' {}'
  mapfile -t COMPREPLY < <(compgen -W "$words" $files -- "$cur")
}}
complete -o filenames -F _prune prune
)",
                     command_words("|"), cases, command_words(" "));
}

std::string zsh_script() {
  std::string cases;
  for_each_parser([&](const Command& command, const CLI::App& app) {
    std::string specs;
    for (const ShownOption& option : shown_options(app)) {
      const Values values = values_of(option.value);
      const char* const files = values.files ? "_files" : "_files -/";
      std::string action;
      if (!option.value.empty()) {
        action = ":" + option.value + ":";
        if (!values.words.empty() && (values.files || values.folders)) {
          action += fmt::format(R"x( _alternative "names\:name\:({})" "files\:file\:{}")x",
                                values.words, files);
        } else if (values.files || values.folders) {
          action += files;
        } else if (!values.words.empty()) {
          action += "(" + values.words + ")";
        }
      }
      if (option.positional) specs += " \\\n        " + shell_quoted("*" + action);
      const std::string about = shell_quoted(option.description, "[]:\\");
      for (const std::string& name : option.long_names) {
        specs += fmt::format(" \\\n        '--{}['{}']'{}", name, about, shell_quoted(action));
      }
    }
    cases += fmt::format("    {}) _arguments{} ;;\n",
                         command.word.empty() ? "''" : std::string(command.word), specs);
  });
  return fmt::format(R"(#compdef prune
# zsh completion for prune, written by `prune completion zsh`
_prune() {{
  local command=
  case ${{words[2]}} in ({0}) command=${{words[2]}}; shift words; (( CURRENT-- )) ;; esac
  [[ -z $command && $CURRENT == 2 ]] && compadd -- {1}
  case $command in
{2}  esac
}}
compdef _prune prune
)",
                     command_words("|"), command_words(" "), cases);
}

std::string fish_script() {
  std::string text = "# fish completion for prune, written by `prune completion fish`\n";
  text += "complete -c prune -f\n";
  for_each_parser([&](const Command& command, const CLI::App& app) {
    std::string when = fmt::format("__fish_seen_subcommand_from {}", command.word);
    if (command.word.empty()) {
      when = fmt::format("not __fish_seen_subcommand_from {}", command_words(" "));
    } else {
      text += fmt::format("complete -c prune -n __fish_use_subcommand -a {} -d {}\n", command.word,
                          shell_quoted(std::string(command.summary)));
    }
    for (const ShownOption& option : shown_options(app)) {
      const Values values = values_of(option.value);
      std::string argument = values.words.empty() ? "" : " -a " + shell_quoted(values.words);
      if (values.files) argument += " -F";
      if (values.folders) argument += " -a '(__fish_complete_directories)'";
      if (option.positional) {
        text += fmt::format("complete -c prune -n {}{}\n", shell_quoted(when), argument);
      }
      for (const std::string& name : option.long_names) {
        text += fmt::format("complete -c prune -n {} -l {} -d {}{}{}\n", shell_quoted(when), name,
                            shell_quoted(option.description), option.value.empty() ? "" : " -r",
                            argument);
      }
    }
  });
  return text;
}

}  // namespace

int run_completion_command(const Invocation& invocation) {
  const auto app = make_parser("prune completion",
                               "Prints a completion script: source <(prune completion bash).");
  set_group(*app, "Shell");
  std::string shell;
  add_option(*app, "shell", shell, "the shell", "bash|zsh|fish");
  if (!parse_arguments(*app, invocation)) return 0;
  if (shell == "bash") {
    write_stdout(bash_script());
  } else if (shell == "zsh") {
    write_stdout(zsh_script());
  } else if (shell == "fish") {
    write_stdout(fish_script());
  } else {
    throw Error(ErrorKind::kUsage, fmt::format("shell '{}' is not one of bash, zsh, fish{}", shell,
                                               did_you_mean(shell, {"bash", "zsh", "fish"})));
  }
  return 0;
}

}  // namespace prune::cli
