#include "recipe.h"

#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/nearest.h>

#include <CLI/CLI.hpp>

namespace prune::cli {
namespace {

std::vector<std::string> long_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

std::string as_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

class JsonRecipe : public CLI::Config {
 public:
  explicit JsonRecipe(const CLI::App& app) : app_(&app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const std::string text((std::istreambuf_iterator<char>(input)), {});
    json recipe;
    try {
      recipe = parse_json(text);
    } catch (const Error& error) {
      throw Error(ErrorKind::kUsage, error.what()).in("--config");
    }
    if (!recipe.is_object()) throw Error(ErrorKind::kUsage, "--config is not a JSON object");
    const std::vector<std::string> known = long_names(*app_);
    std::vector<CLI::ConfigItem> found;
    for (const auto& [key, value] : recipe.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("--config: unknown key '{}'{}", key, did_you_mean(key, known)));
      }
      found.push_back({.parents = {}, .name = key, .inputs = {as_text(value)}});
    }
    return found;
  }

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return "{}"; }

 private:
  const CLI::App* app_;
};

}  // namespace

void read_recipes(CLI::App& app) {
  app.set_config("--config", "", "JSON recipe; its keys are flags, flags override it")
      ->type_name("FILE");
  app.config_formatter(std::make_shared<JsonRecipe>(app));
}

bool parse_arguments(CLI::App& app, const Invocation& invocation) {
  if (invocation.describe) {
    invocation.describe(app);
    return false;
  }
  app.allow_extras();
  try {
    app.parse(invocation.argc, invocation.argv);
  } catch (const CLI::Success& answered) {
    app.exit(answered);
    return false;
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::kUsage, error.what());
  }
  for (const std::string& extra : app.remaining()) {
    const std::string word = extra.substr(std::min(extra.find_first_not_of('-'), extra.size()));
    const CLI::Option* const model = app.get_option_no_throw("--model");
    const bool may_be_model = word == extra && model != nullptr && model->count() == 0;
    throw Error(ErrorKind::kUsage,
                fmt::format("unknown argument '{}'{}", extra,
                            may_be_model ? fmt::format("; did you mean '--model {}'?", extra)
                                         : did_you_mean(word.substr(0, word.find('=')),
                                                        long_names(app), "--")));
  }
  return true;
}

bool is_number(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  // A choice of numbers, such as "16|8|4".
  return type == "INT" || type == "UINT" || type == "FLOAT" ||
         type.find_first_not_of("0123456789-|") == std::string::npos;
}

nlohmann::json options_json(const CLI::App& app) {
  json options = json::object();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string& name = option->get_lnames().front();
    if (name.starts_with("help") || name == "version" || name == "config") continue;
    if (option->get_expected_max() == 0) {
      options[name] = option->count() > 0;
      continue;
    }
    const std::string text =
        option->count() > 0 ? option->results().back() : option->get_default_str();
    const bool number = is_number(*option);
    options[name] = number ? json::parse(text, nullptr, /*allow_exceptions=*/false) : json(text);
    if (options[name].is_discarded()) options[name] = nullptr;  // a number without value
  }
  return options;
}

}  // namespace prune::cli
