#include <prune/core/path_name.h>
#include <prune/report/model_card.h>

#include <sstream>

namespace prune::report {
namespace {

std::string perplexity_table(const RunReport& report) {
  if (!report.dense && !report.pruned) return "";
  const evaluation::PerplexityResult& measured = report.pruned ? *report.pruned : *report.dense;
  std::string text =
      fmt::format("\n| perplexity on {} ({} x {} tokens, {}) | |\n|---|---|\n",
                  path_name(measured.source), measured.segments, measured.seqlen, measured.dtype);
  if (report.dense) text += fmt::format("| before | {:.2f} |\n", report.dense->perplexity);
  if (report.pruned) text += fmt::format("| after | {:.2f} |\n", report.pruned->perplexity);
  return text;
}

// What happened to single weights, or that nothing did.
std::string title_of(const RunReport& report, const std::string& base, int wbits) {
  const int64_t zeros = report.zeros();
  const bool removes_units = report.units || report.experts;
  if (removes_units && report.schedule.kind == schedule::kind_name(schedule::ScheduleKind::kKept)) {
    return fmt::format("# {0}, smaller\n", base);
  }
  const double sparsity = static_cast<double>(zeros) / static_cast<double>(report.weights());
  return fmt::format(
      "# {0}, {1:.1f} % of its linear weights removed\n\n"
      "{2} of the {3} weights in linear layers of `{0}` are zero; the others were updated to make "
      "up for it (SparseGPT, arXiv 2301.00774){4}. The schedule (arXiv 2409.20094) may give layers "
      "different sparsities: `prune_report.json` lists them with everything else about the run.\n",
      base, 100 * sparsity, zeros, report.weights(),
      wbits < 16
          ? fmt::format(" and rounded to {} bits in the same pass (OPTQ, arXiv 2210.17323)", wbits)
          : "");
}

std::string option_list(const nlohmann::json& options) {
  std::string text;
  for (const char* name : {"schedule", "pattern", "solver", "refine", "wbits", "group-size", "asym",
                           "percdamp", "blocksize", "recover", "recover-scope", "seed"}) {
    const auto found = options.find(name);
    if (found == options.end()) continue;
    std::string value = found->is_string() ? found->get<std::string>() : found->dump();
    if (value.starts_with("file:")) value = "the schedule of an earlier run";
    text += fmt::format("| `--{}` | {} |\n", name, value);
  }
  return text;
}

}  // namespace

std::string model_card(const RunReport& report, const std::string& license) {
  const std::string& hub_id = report.model.hub_id;
  const std::string base = hub_id.empty() ? path_name(report.model.id) : hub_id;
  const nlohmann::json options =
      report.options.is_object() ? report.options : nlohmann::json::object();
  const int wbits = options.value("wbits", 16);
  const bool quantized = wbits < 16;
  std::string text = "---\n";
  if (!hub_id.empty()) text += "base_model: " + hub_id + "\n";
  if (!license.empty()) text += "license: " + license + "\n";
  text +=
      "library_name: transformers\npipeline_tag: text-generation\ntags:\n- pruned\n- sparsegpt\n";
  if (quantized) text += "- gptq\n- compressed-tensors\n";
  text += "---\n\n";
  text += title_of(report, base, wbits);
  if (report.experts) {
    text += fmt::format(
        "\nWhole experts were removed (REAP, arXiv 2510.13999): {}. It needs no special runtime.\n",
        experts_line(*report.experts));
  }
  if (report.units) {
    text += fmt::format(
        "\nWhole units were removed, the layers that read them updated to make up for it "
        "(structured "
        "OBS as in arXiv 2302.04089): {}. It is smaller and faster in every runtime.\n",
        units_line(*report.units));
  }
  if (report.recovery) {
    text += fmt::format(
        "\nThe kept weights then learnt from the dense model's predictions (distillation, arXiv "
        "1503.02531) on the calibration text: on samples that they did not learn from, the "
        "divergence "
        "from the dense model fell from {:.3f} to {:.3f} nats per token.\n",
        report.recovery->held_out.front().loss, report.recovery->best().loss);
  }
  text += perplexity_table(report);
  text += fmt::format("\n| calibration | {} |\n|---|---|\n",
                      calibration_line(report.calibration, /*last_names=*/true));
  text += option_list(options);
  text +=
      "\nIt loads like the original model. Unstructured zeros make no mainstream runtime faster "
      "today; check quality on your own task before you use it.\n";
  return text;
}

std::string license_of(const std::string& card) {
  std::istringstream stream(card);
  std::string line;
  if (!std::getline(stream, line) || line != "---") return "";
  while (std::getline(stream, line) && line != "---") {
    if (!line.starts_with("license:")) continue;
    const std::string value = line.substr(8);
    const size_t first = value.find_first_not_of(" \"'");
    const size_t last = value.find_last_not_of(" \"'\r");
    return first == std::string::npos ? "" : value.substr(first, last - first + 1);
  }
  return "";
}

}  // namespace prune::report
