#include "command_line.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <prune/calibration/row_objects.h>
#include <prune/core/cpu_count.h>
#include <prune/core/device.h>
#include <prune/core/error.h>
#include <prune/core/version.h>
#include <prune/kernels/product.h>
#include <spdlog/spdlog.h>
#include <torch/version.h>

#include <cstdlib>

#include "one_of.h"
#include "recipe.h"

namespace prune::cli {
namespace {

// Version and commit, and on a second line what this build can use here; no GPU is asked.
std::string version_text() {
  const auto yes_or_no = [](bool has) { return has ? "yes" : "no"; };
  return fmt::format("prune {} ({})\nLibTorch {}, CPU {} ({}), CUDA {}, Parquet {}", version(),
                     commit(), TORCH_VERSION, at::get_cpu_capability(), kernels::product_library(),
                     yes_or_no(built_with_cuda()), yes_or_no(calibration::reads_parquet()));
}

}  // namespace

AppPointer make_app(const std::string& name, const std::string& description, CommonFlags& flags) {
  auto app = make_parser(name, description);
  add_version_flag(*app, "--version", &version_text, "version, commit and features of the build");
  set_group(*app, "Model");
  add_option(*app, "--model", flags.model, "folder, short name (opt-66b), org/name[@revision]",
             kModel);
  set_group(*app, kGeneral);
  add_flag(*app, "--json", flags.as_json, "print the result as JSON");
  set_group(*app, kMore);
  add_flag(*app, "--download", flags.download, "fetch what the hub cache lacks with `hf download`");
  add_flag(*app, "--quiet", flags.log.quiet, "log warnings only");
  add_flag(*app, "--verbose", flags.log.verbose, "log more");
  add_option(*app, "--log-file", flags.log.file, "also write the log to this file", kFile);
  add_option(*app, "--color", flags.color,
             "of warnings; auto: on a terminal, unless NO_COLOR is set", "auto|always|never");
  add_option(*app, "--device", flags.device, "auto: the GPU if there is one",
             "auto|cpu|cuda|cuda:N");
  add_option(*app, "--dtype", flags.dtype,
             "computing dtype; auto: float32 on the CPU, else the model's",
             "auto|float32|float16|bfloat16");
  add_option(*app, "--threads", flags.threads,
             "CPU threads; 0: as many as the machine and the shell allow");
  read_recipes(*app);
  return app;
}

pipeline::ModelChoice apply_common(const CommonFlags& flags, ModelParts needed) {
  if (flags.model.empty()) {
    throw Error(ErrorKind::kUsage, "--model is missing: give a folder, a short name or a hub id");
  }
  if (flags.threads < 0) {
    throw Error(ErrorKind::kUsage, fmt::format("--threads {} is negative", flags.threads));
  }
  LogOptions log = flags.log;
  log.color =
      one_of<Color>("--color", flags.color,
                    {{"auto", Color::kAuto}, {"always", Color::kAlways}, {"never", Color::kNever}});
  start_log(log);
  // LibTorch's own count respects OMP_NUM_THREADS, but no quota.
  const auto usable = static_cast<int>(usable_cpus());
  if (flags.threads > 0 || usable < at::get_num_threads()) {
    at::set_num_threads(flags.threads > 0 ? flags.threads : usable);
  }
  const char* const waiting = std::getenv("OMP_WAIT_POLICY");
  spdlog::debug("{} threads of {} usable processors, OMP_WAIT_POLICY {}", at::get_num_threads(),
                usable, waiting != nullptr ? waiting : "not set");
  return look_up(flags.model, flags, needed);
}

pipeline::ModelChoice look_up(const std::string& model, const CommonFlags& flags,
                              ModelParts needed) {
  return {.id = model,
          .hub_id = hub_id_of(model),
          .folder = find_model(model, flags.download, needed),
          .device = flags.device,
          .dtype = flags.dtype};
}

void add_head_bits(CLI::App& app, int64_t& head_bits) {
  add_option(app, "--head-bits", head_bits,
             "8: round the head's matrix, on the CPU in float32; large vocabularies gain");
}

void check_head_bits(int64_t head_bits) {
  if (head_bits != 8 && head_bits != 16) {
    throw Error(ErrorKind::kUsage, fmt::format("--head-bits {} is not 8 or 16", head_bits));
  }
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
