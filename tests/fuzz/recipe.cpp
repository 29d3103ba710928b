// The JSON recipe of --config, with one option of every kind that the commands have. The recipe is only
// parsed: a run would write to the paths it names.
#include "recipe.h"

#include <CLI/CLI.hpp>

#include "fuzz/fuzz.h"

using namespace prune;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  kFile.assign(data, size);
  return fuzz::survive(
      [] {
        std::string model;
        double target = 0;
        int64_t nsamples = 0;
        uint64_t seed = 0;
        int threads = 0;
        bool strict = false;
        CLI::App app("", "prune");
        app.option_defaults()->always_capture_default();
        app.set_version_flag("--version", "1");
        app.add_option("--model", model);
        app.add_option("--target", target);
        app.add_option("--nsamples", nsamples);
        app.add_option("--seed", seed);
        app.add_option("--threads", threads);
        app.add_flag("--strict", strict);
        cli::read_recipes(app);
        const std::string path = kFile.path().string();
        const char* arguments[] = {"prune", "--config", path.c_str(), "--threads", "1"};
        if (!cli::parse_arguments(app, {.argc = 5, .argv = arguments})) return;
        fuzz::require(threads == 1, "a flag overrides the recipe");
        fuzz::require(cli::options_json(app).size() == 6, "every option is in the report");
      },
      ErrorKind::kUsage);
}
