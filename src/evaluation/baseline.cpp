#include <fmt/chrono.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>
#include <prune/evaluation/baseline.h>

#include <chrono>
#include <cmath>
#include <vector>

namespace prune::evaluation {
namespace {

// Checks the keys that two comparable perplexities share. The text's name is not one of them: the file may be
// elsewhere, only its tokens must be the same. A published value has no token hash, so the name must do.
void check_protocol(const json& baseline, const json& now) {
  const std::vector<const char*> keys =
      baseline.contains("published")
          ? std::vector<const char*>{"data", "seqlen"}
          : std::vector<const char*>{"sha256", "seqlen", "segments", "dtype"};
  for (const char* key : keys) {
    const auto before = require<json>(baseline, key);
    if (before == now.at(key)) continue;
    throw_json_error(key, fmt::format("is {} in the baseline, now it is {}: not comparable",
                                      json_text(before, -1), json_text(now.at(key), -1)));
  }
}

}  // namespace

nlohmann::json baseline_json(const PerplexityResult& result, const std::string& model,
                             double tolerance) {
  json baseline = to_json(result);
  baseline["tolerance"] = tolerance;
  baseline["model"] = model;
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  baseline["written"] = fmt::format("{:%Y-%m-%d}", fmt::gmtime(now));
  return baseline;
}

std::string compare_to_baseline(const PerplexityResult& result, const nlohmann::json& baseline,
                                double tolerance) {
  check_protocol(baseline, to_json(result));
  const auto before = require<double>(baseline, "perplexity");
  if (!(before > 0.0)) throw_json_error("perplexity", "is not positive");
  const double change = result.perplexity / before - 1.0;
  const auto written = value_or<std::string>(baseline, "written", "");
  const auto published = value_or<std::string>(baseline, "published", "");
  std::string since = written.empty() ? "" : " of " + written;
  if (!published.empty()) since = " of " + published + ", whose tokens are not known";
  const std::string text =
      fmt::format("perplexity {:.4f} is {:.2f} % {} {:.4f}{}", result.perplexity,
                  100 * std::abs(change), change < 0 ? "below" : "above", before, since);
  if (change > tolerance) {
    throw Error(ErrorKind::kGate, fmt::format("{}; {:g} % is allowed", text, 100 * tolerance));
  }
  return text;
}

std::string junit_xml(const std::string& name, double elapsed_s, const std::string& failure) {
  const std::string message =
      failure.empty() ? "" : fmt::format("<failure message=\"{}\"/>", markup_escaped(failure));
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"prune eval\" tests=\"1\" failures=\"{}\" time=\"{:.3f}\">\n"
      "  <testcase classname=\"prune.eval\" name=\"{}\" time=\"{:.3f}\">{}</testcase>\n"
      "</testsuite>\n",
      failure.empty() ? 0 : 1, elapsed_s, markup_escaped(name), elapsed_s, message);
}

}  // namespace prune::evaluation
