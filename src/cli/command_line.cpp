#include "command_line.h"

#include <ATen/Parallel.h>
#include <prune/core/error.h>
#include <prune/core/version.h>

#include "help.h"
#include "recipe.h"

namespace prune::cli {

std::unique_ptr<CLI::App> make_app(const std::string& name, const std::string& description,
                                   CommonFlags& flags) {
  auto app = std::make_unique<CLI::App>(description, name);
  set_help(*app);
  app->set_version_flag("--version", fmt::format("prune {} ({})", version(), commit()),
                        "version and commit")
      ->group(kGeneral);
  app->option_defaults()->always_capture_default();
  app->option_defaults()->group("Model");
  app->add_option("--model", flags.model, "folder, short name (opt-66b), org/name[@revision]")
      ->type_name(kModel);
  app->add_flag("--download", flags.download, "fetch what the hub cache lacks, by `hf download`");
  app->option_defaults()->group(kGeneral);
  app->add_flag("--json", flags.as_json, "the result as JSON on stdout");
  app->add_flag("--quiet", flags.log.quiet, "log warnings only");
  app->option_defaults()->group(kMore);
  app->add_flag("--verbose", flags.log.verbose, "log more");
  app->add_option("--log-file", flags.log.file, "also write the log to this file")
      ->type_name(kFile);
  app->add_option("--device", flags.device, "auto: the GPU if there is one")
      ->type_name("auto|cpu|cuda|cuda:N");
  app->add_option("--dtype", flags.dtype,
                  "to compute in; auto: float32 on the CPU, else the model's")
      ->type_name("auto|float32|float16|bfloat16");
  app->add_option("--threads", flags.threads, "CPU threads; 0: all cores");
  app->option_defaults()->group(kGeneral);
  read_recipes(*app);
  return app;
}

pipeline::ModelChoice apply_common(const CommonFlags& flags, ModelParts needed) {
  if (flags.model.empty()) {
    throw Error(ErrorKind::kUsage, "--model is missing: a folder, a short name or a hub id");
  }
  if (flags.threads < 0) {
    throw Error(ErrorKind::kUsage, fmt::format("--threads {} is negative", flags.threads));
  }
  start_log(flags.log);
  if (flags.threads > 0) at::set_num_threads(flags.threads);
  return {.id = flags.model,
          .hub_id = hub_id_of(flags.model),
          .folder = find_model(flags.model, flags.download, needed),
          .device = flags.device,
          .dtype = flags.dtype};
}

std::string command_line(int argc, const char* const* argv) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@+%";
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (i > 0) line += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace prune::cli
