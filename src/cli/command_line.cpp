#include "command_line.h"

#include <ATen/Parallel.h>
#include <prune/core/error.h>
#include <prune/core/version.h>

#include "recipe.h"

namespace prune::cli {

std::unique_ptr<CLI::App> make_app(const std::string& name, const std::string& description,
                                   CommonFlags& flags) {
  auto app = std::make_unique<CLI::App>(description, name);
  app->option_defaults()->always_capture_default();
  app->set_version_flag("--version", fmt::format("prune {} ({})", version(), commit()));
  app->add_option("--model", flags.model,
                  "folder, short name (opt-66b) or hub id org/name[@revision]");
  app->add_flag("--download", flags.download,
                "fetch a model or data set that is not in the hub cache, by `hf download`");
  app->add_option("--device", flags.device, "auto, cpu, cuda or cuda:N");
  app->add_option("--dtype", flags.dtype,
                  "computing dtype: float32, float16, bfloat16; auto: float32 on the CPU, the "
                  "model's on CUDA");
  app->add_option("--threads", flags.threads, "CPU threads; 0: all cores");
  app->add_flag("--json", flags.as_json, "print the result as JSON");
  app->add_option("--log-file", flags.log.file, "also write the log to this file");
  app->add_flag("--quiet", flags.log.quiet, "log warnings only");
  app->add_flag("--verbose", flags.log.verbose, "log more");
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
