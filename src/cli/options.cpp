#include "options.h"

#include <CLI/CLI.hpp>
#include <filesystem>

#include "command_line.h"
#include "help.h"

namespace prune::cli {

void DeleteApp::operator()(CLI::App* app) const { delete app; }

AppPointer make_parser(const std::string& name, const std::string& description) {
  AppPointer app(new CLI::App(description, name));
  format_help(*app);
  app->option_defaults()->group(kGeneral);
  app->set_help_flag("-h,--help", "show the common flags")->group(kGeneral);
  app->set_help_all_flag("--help-all", "show every flag and the exit codes")->group(kGeneral);
  return app;
}

void set_group(CLI::App& app, const std::string& group) { app.option_defaults()->group(group); }

template <class Value>
void add_option(CLI::App& app, const std::string& name, Value& value,
                const std::string& description, const std::string& type_name) {
  CLI::Option* const option = app.add_option(name, value, description)->capture_default_str();
  if (!type_name.empty()) option->type_name(type_name);
}

template void add_option(CLI::App&, const std::string&, std::string&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, std::filesystem::path&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, double&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, int&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, int64_t&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, uint64_t&, const std::string&,
                         const std::string&);
template void add_option(CLI::App&, const std::string&, std::vector<std::string>&,
                         const std::string&, const std::string&);

void add_positive_option(CLI::App& app, const std::string& name, int64_t& value,
                         const std::string& description) {
  add_option(app, name, value, description);
  app.get_option(name)->check(CLI::PositiveNumber);
}

void add_flag(CLI::App& app, const std::string& name, bool& value, const std::string& description) {
  app.add_flag(name, value, description);
}

void add_version_flag(CLI::App& app, const std::string& name,
                      const std::function<std::string()>& text, const std::string& description) {
  app.set_version_flag(name, text, description)->group(kGeneral);
}

void exclude(CLI::App& app, const std::string& name, const std::string& other) {
  app.get_option(name)->excludes(app.get_option(other));
}

void hide_default(CLI::App& app, const std::string& name) { app.get_option(name)->default_str(""); }

bool is_given(const CLI::App& app, const std::string& name) {
  const CLI::Option* const option = app.get_option_no_throw(name);
  return option != nullptr && option->count() > 0;
}

}  // namespace prune::cli
