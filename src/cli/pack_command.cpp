#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/json_file.h>
#include <prune/core/tensor.h>

#include "command_line.h"
#include "model_names.h"
#include "recipe.h"
#include "terminal.h"

namespace prune::cli {
namespace {

using Repack = checkpoint::Repacked (*)(const std::filesystem::path& source,
                                        const std::filesystem::path& output, bool overwrite);

int run_repack(const std::string& word, const std::string& description, Repack repack,
               const Invocation& invocation) {
  CommonFlags flags;
  std::string output;
  bool overwrite = false;
  const auto app = make_app("prune " + word, description, flags);
  set_group(*app, "Output");
  add_option(*app, "--output", output, fmt::format("output folder (default: ./NAME-{}ed)", word),
             kFolder);
  add_flag(*app, "--overwrite", overwrite, "replace an existing output folder");
  if (!parse_arguments(*app, invocation)) return 0;
  const pipeline::ModelChoice choice = apply_common(flags);
  if (output.empty()) output = fmt::format("{}-{}ed", model_base_name(choice.id), word);
  const checkpoint::Repacked result = repack(choice.folder, output, overwrite);
  if (flags.as_json) {
    json files = json::object();
    for (const auto& file : result.files) files[file.name] = file.size_bytes;
    write_stdout(json_text({{"folder", output},
                            {"source_bytes", result.source_bytes},
                            {"bytes", result.output_bytes},
                            {"files", files}}) +
                 "\n");
  } else {
    write_stdout(fmt::format("{}: weights {} ({} bytes), {} ({}) before\n", output,
                             human_bytes(result.output_bytes), result.output_bytes,
                             human_bytes(result.source_bytes), result.source_bytes));
  }
  return 0;
}

}  // namespace

int run_pack_command(const Invocation& invocation) {
  return run_repack("pack", "Writes a checkpoint without its zeros, for storage and transfer.",
                    &checkpoint::pack_checkpoint, invocation);
}

int run_unpack_command(const Invocation& invocation) {
  return run_repack("unpack", "Restores a packed checkpoint, byte for byte.",
                    &checkpoint::unpack_checkpoint, invocation);
}

}  // namespace prune::cli
