
#include <ATen/Parallel.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/parallel.h>
#include <prune/core/sha256.h>
#include <prune/journal/fingerprint.h>
#include <prune/kernels/product.h>

namespace prune::journal {
namespace {

nlohmann::json file_sums(const checkpoint::Checkpoint& source) {
  std::vector<std::string> files = source.files();
  files.push_back("config.json");
  std::vector<std::string> sums(files.size());
  parallel_for(0, static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      sums[i] = sha256_of_file(source.folder() / files[i]);
    }
  });
  nlohmann::json result = nlohmann::json::object();
  for (size_t i = 0; i < files.size(); ++i) result[files[i]] = sums[i];
  return result;
}

// Every flag not named here counts, so that a new one cannot be forgotten.
nlohmann::json options_that_count(const FingerprintOptions& options, nlohmann::json flags) {
  if (!flags.is_object()) return flags;
  for (const char* changes_no_byte :
       {"output", "overwrite", "resume", "report", "strict", "json", "quiet", "verbose", "log-file",
        "stats", "download", "dist-timeout", "color"}) {
    flags.erase(changes_no_byte);
  }
  // Compared by what they lead to.
  for (const char* compared :
       {"model", "teacher", "calibration", "eval", "device", "dtype", "threads"}) {
    flags.erase(compared);
  }
  if (!options.schedule_file.empty()) {
    flags["schedule"] = "file of SHA-256 " + sha256_of_file(options.schedule_file);
  }
  return flags;
}

}  // namespace

nlohmann::json run_fingerprint(const RunInputs& inputs, const FingerprintOptions& options,
                               const nlohmann::json& flags) {
  const models::Model& model = inputs.model;
  const calibration::TokenSet& tokens = inputs.calibration;
  const bool on_cpu = model.device().is_cpu();
  nlohmann::json result = {
      {"model", file_sums(model.checkpoint())},
      {"calibration",
       {{"nsamples", tokens.samples()}, {"seqlen", tokens.seqlen()}, {"sha256", tokens.sha256}}},
      {"estimate_nsamples", options.estimate_nsamples},
      {"percdamp", options.percdamp},
      {"dtype", dtype_name(model.dtype())},
      {"evaluation",
       inputs.evaluation ? nlohmann::json(inputs.evaluation->sha256) : nlohmann::json()},
      {"device", on_cpu ? "cpu" : "cuda"},
      // The sequence of a sum's additions depends on how it is divided, and on the library that does it.
      {"threads", on_cpu ? nlohmann::json(at::get_num_threads()) : nlohmann::json()},
      {"products", on_cpu ? nlohmann::json(kernels::product_library()) : nlohmann::json()},
      {"options", options_that_count(options, flags)}};
  for (const char* units : {"blocks", "experts", "heads", "ffn"}) {
    const double removed = flags.is_object() ? value_or(flags, units, 0.0) : 0.0;
    if (removed > 0.0) result["units"][units] = removed;
  }
  if (!options.teacher.empty()) {
    result["teacher"] = file_sums(checkpoint::Checkpoint::open(options.teacher));
  }
  return result;
}

nlohmann::json estimate_fingerprint(const nlohmann::json& run) {
  nlohmann::json part;
  for (const char* key : {"model", "calibration", "estimate_nsamples", "percdamp", "dtype"}) {
    part[key] = run.at(key);
  }
  if (run.contains("units")) part["units"] = run.at("units");
  return part;
}

void check_fingerprint(const nlohmann::json& recorded, const nlohmann::json& now) {
  const nlohmann::json before = recorded.flatten();
  const nlohmann::json after = now.flatten();
  const auto text = [](const nlohmann::json& fields, const std::string& field) {
    return fields.contains(field) ? json_text(fields.at(field), -1) : "absent";
  };
  std::string differs;
  for (const nlohmann::json& fields : {after, before}) {
    for (const auto& [field, value] : fields.items()) {
      if (text(before, field) == text(after, field)) continue;
      if (differs.empty() || field.starts_with("/options/")) differs = field;
    }
  }
  if (differs.empty()) return;
  throw Error(ErrorKind::kInput, fmt::format("'{}' was {}, now it is {}", differs.substr(1),
                                             text(before, differs), text(after, differs)));
}

}  // namespace prune::journal
