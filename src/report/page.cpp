#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>
#include <prune/core/tensor.h>
#include <prune/report/page.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace prune::report {
namespace {

constexpr const char* kStyle = R"(
:root{--ink:#1c2430;--soft:#5c6675;--line:#d9dee5;--back:#fff;--c0:#2f6fb0;--c1:#c8612c;--c2:#3f8f5b;--c3:#8757a8;--c4:#9a7b1f;--c5:#b03a62}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.4rem;margin:0 0 1rem}h2{font-size:1.05rem;margin:2rem 0 .6rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.wide td{min-width:9rem}
th{font-weight:600;color:var(--soft);white-space:nowrap}
svg{max-width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.key{display:inline-block;width:.75rem;height:.75rem;border-radius:2px;margin-right:.4rem;vertical-align:-1px}
ul{margin:.2rem 0;padding-left:1.2rem}
)";

std::string color(size_t index) { return fmt::format("var(--c{})", index % 6); }

std::string cell(const std::string& text) { return "<td>" + markup_escaped(text) + "</td>"; }

// A report with its file's name.
struct Run {
  std::string name;
  RunReport report;
};

std::map<int64_t, double> sparsity_by_block(const RunReport& report) {
  std::map<int64_t, double> zeros;
  std::map<int64_t, double> weights;
  for (const LayerReport& layer : report.layers) {
    zeros[layer.block()] += static_cast<double>(layer.zeros);
    weights[layer.block()] += static_cast<double>(layer.rows * layer.cols);
  }
  for (auto& [block, sparsity] : zeros) sparsity /= weights.at(block);
  return zeros;
}

std::string perplexity_text(const std::optional<evaluation::PerplexityResult>& result) {
  return result ? fmt::format("{:.2f}", result->perplexity) : "–";
}

std::string recovery_text(const RunReport& report) {
  if (!report.recovery) return "–";
  const RecoveryReport& recovery = *report.recovery;
  return fmt::format("{} steps of {} samples ({}): held-out loss {:.3f} → {:.3f}", recovery.steps,
                     recovery.batch, recovery.scope, recovery.held_out.front().loss,
                     recovery.best().loss);
}

// Rows of the table of results as {title, text}.
std::vector<std::pair<std::string, std::string>> facts_of(const RunReport& report) {
  double elapsed_s = 0.0;
  for (const auto& [phase, seconds] : report.elapsed_s) elapsed_s += seconds;
  std::string evaluated_on = "–";
  for (const auto& result : {report.pruned, report.dense}) {
    if (result && !result->source.empty()) evaluated_on = result->source;
  }
  const std::string device_memory =
      report.peak_device_bytes > 0 ? ", device " + human_bytes(report.peak_device_bytes) : "";
  return {{"model", fmt::format("{} ({}, {} blocks, {})", report.model.id, report.model.family,
                                report.model.blocks, report.model.weights())},
          {"schedule", report.schedule.kind},
          {"solver",
           fmt::format("{}, {} refine steps", value_or<std::string>(report.options, "solver", "?"),
                       value_or<int64_t>(report.options, "refine", 0))},
          {"sparsity",
           fmt::format("{:.4f} ({} of {} weights)",
                       static_cast<double>(report.zeros()) / static_cast<double>(report.weights()),
                       report.zeros(), report.weights())},
          {"perplexity dense", perplexity_text(report.dense)},
          {"perplexity pruned", perplexity_text(report.pruned)},
          {"on", evaluated_on},
          {"experts", report.experts ? experts_line(*report.experts) : "–"},
          {"units", report.units ? units_line(*report.units) : "–"},
          {"recovery", recovery_text(report)},
          {"calibration", calibration_line(report.calibration)},
          {"time", fmt::format("{:.1f} s on {}", elapsed_s, report.device)},
          {"peak memory", human_bytes(report.peak_host_bytes) + device_memory},
          {"prune", report.prune_version},
          {"command", report.command_line}};
}

std::vector<std::string> candidate_lines(const RunReport& report) {
  std::vector<std::string> lines;
  for (const ScheduleScore& candidate : report.candidates) {
    lines.push_back(fmt::format("{}, spread {:g}: {:.2f}", candidate.kind, candidate.spread,
                                candidate.perplexity));
  }
  return lines;
}

std::vector<std::string> fallback_lines(const RunReport& report) {
  std::vector<std::string> lines;
  for (const Fallback& fallback : report.fallbacks) {
    lines.push_back(fallback.where + ": " + fallback.what);
  }
  return lines;
}

std::vector<Run> read_runs(const std::vector<NamedReport>& reports) {
  std::vector<Run> runs;
  for (const NamedReport& named : reports) {
    try {
      runs.push_back({.name = named.name, .report = read_report(named.content)});
    } catch (Error& error) {
      throw error.in(named.name);
    }
  }
  return runs;
}

std::string results_table(const std::vector<Run>& runs) {
  std::string text = "<div class=wide><table><tr><th>report</th>";
  for (size_t r = 0; r < runs.size(); ++r) {
    text += fmt::format("<td><span class=key style='background:{}'></span>{}</td>", color(r),
                        markup_escaped(runs[r].name));
  }
  text += "</tr>\n";
  std::vector<std::vector<std::pair<std::string, std::string>>> facts;
  for (const Run& run : runs) facts.push_back(facts_of(run.report));
  for (size_t row = 0; row < facts.front().size(); ++row) {
    text += "<tr><th>" + facts.front()[row].first + "</th>";
    for (const auto& facts_of_run : facts) text += cell(facts_of_run[row].second);
    text += "</tr>\n";
  }
  return text + "</table></div>\n";
}

// One group of bars per block, one bar per run; the scale is 0 to 1.
std::string sparsity_chart(const std::vector<Run>& runs) {
  std::vector<std::map<int64_t, double>> sparsities;
  std::set<int64_t> blocks;
  for (const Run& run : runs) {
    for (const auto& [block, sparsity] : sparsities.emplace_back(sparsity_by_block(run.report))) {
      blocks.insert(block);
    }
  }
  const auto bars = static_cast<double>(blocks.size() * runs.size());
  const double bar = std::clamp(600.0 / bars, 4.0, 24.0);
  const double group = bar * static_cast<double>(runs.size()) + 6;
  const double width = 40 + group * static_cast<double>(blocks.size());
  constexpr double kHeight = 180;
  std::string text = fmt::format(
      "<div class=wide><svg viewBox='0 0 {0:.0f} {1}' "
      "style='min-width:{2:.0f}px;max-width:{0:.0f}px' "
      "role=img aria-label='sparsity by block'>\n",
      width, kHeight + 30, std::min(width, 900.0));
  for (const double level : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const double y = 10 + kHeight * (1 - level);
    text += fmt::format(
        "<line x1=34 x2={0:.0f} y1={1:.1f} y2={1:.1f} stroke='var(--line)'/><text x=30 y={2:.1f} "
        "text-anchor=end>{3:g}</text>\n",
        width, y, y + 4, level);
  }
  double x = 38;
  const size_t every = 1 + blocks.size() / 24;
  size_t index = 0;
  for (const int64_t block : blocks) {
    for (size_t r = 0; r < runs.size(); ++r) {
      const auto found = sparsities[r].find(block);
      if (found == sparsities[r].end()) continue;
      const double height = kHeight * found->second;
      text += fmt::format(
          "<rect x={:.1f} y={:.1f} width={:.1f} height={:.1f} fill='{}'><title>block {}: "
          "{:.4f}</title></rect>\n",
          x + bar * static_cast<double>(r), 10 + kHeight - height, bar - 1, height, color(r), block,
          found->second);
    }
    if (index++ % every == 0) {
      text += fmt::format("<text x={:.1f} y={} text-anchor=middle>{}</text>\n", x + (group - 6) / 2,
                          kHeight + 26, block);
    }
    x += group;
  }
  return text + "</svg></div>\n";
}

// One point per layer on two logarithmic axes; on the diagonal, the estimate equals the measured loss.
std::string loss_chart(const std::vector<Run>& runs) {
  double low = INFINITY;
  double high = 0.0;
  const auto drawn = [](const LayerReport& layer) {
    return layer.loss_estimated && *layer.loss_estimated > 0 && layer.loss_measured > 0;
  };
  for (const Run& run : runs) {
    for (const LayerReport& layer : run.report.layers) {
      if (!drawn(layer)) continue;
      low = std::min({low, *layer.loss_estimated, layer.loss_measured});
      high = std::max({high, *layer.loss_estimated, layer.loss_measured});
    }
  }
  if (!(high > 0)) return "<p>No estimate pass was run.</p>\n";
  const double first = std::floor(std::log10(low));
  const double last = std::max(first + 1, std::ceil(std::log10(high)));
  constexpr double kSize = 300;
  constexpr double kLeft = 46;
  const auto place = [&](double loss) {
    return kSize * (std::log10(loss) - first) / (last - first);
  };
  std::string text = fmt::format(
      "<svg viewBox='0 0 {} {}' style='max-width:{}px' role=img aria-label='estimated and measured "
      "loss'>\n",
      kLeft + kSize + 10, kSize + 50, kLeft + kSize + 10);
  for (double power = first; power <= last;
       power += std::max(1.0, std::round((last - first) / 6))) {
    const double at = place(std::pow(10.0, power));
    text += fmt::format(
        "<line x1={0} x2={1} y1={2:.1f} y2={2:.1f} stroke='var(--line)'/>"
        "<line x1={3:.1f} x2={3:.1f} y1=10 y2={4} stroke='var(--line)'/>"
        "<text x={5} y={6:.1f} text-anchor=end>1e{7:g}</text>"
        "<text x={3:.1f} y={8} text-anchor=middle>1e{7:g}</text>\n",
        kLeft, kLeft + kSize, 10 + kSize - at, kLeft + at, 10 + kSize, kLeft - 4, 14 + kSize - at,
        power, kSize + 26);
  }
  text += fmt::format("<line x1={} y1={} x2={} y2=10 stroke='var(--soft)' stroke-dasharray=4 />\n",
                      kLeft, 10 + kSize, kLeft + kSize);
  for (size_t r = 0; r < runs.size(); ++r) {
    for (const LayerReport& layer : runs[r].report.layers) {
      if (!drawn(layer)) continue;
      text += fmt::format(
          "<circle cx={:.1f} cy={:.1f} r=3 fill='{}' fill-opacity=.7><title>{}: estimated {:.4g}, "
          "measured {:.4g}</title></circle>\n",
          kLeft + place(*layer.loss_estimated), 10 + kSize - place(layer.loss_measured), color(r),
          markup_escaped(layer.name), *layer.loss_estimated, layer.loss_measured);
    }
  }
  return text + fmt::format(
                    "<text x={} y={} text-anchor=middle>estimated; upwards: measured</text>\n"
                    "</svg>\n",
                    kLeft + kSize / 2, kSize + 44);
}

// Held-out loss by step, one line per run; empty if no run recovered.
std::string recovery_chart(const std::vector<Run>& runs) {
  double steps = 0.0;
  double highest = 0.0;
  for (const Run& run : runs) {
    if (!run.report.recovery) continue;
    for (const RecoveryReport::HeldOut& measured : run.report.recovery->held_out) {
      steps = std::max(steps, static_cast<double>(measured.step));
      highest = std::max(highest, measured.loss);
    }
  }
  if (!(steps > 0.0 && highest > 0.0)) return "";
  constexpr double kWidth = 500;
  constexpr double kHeight = 200;
  constexpr double kLeft = 46;
  std::string text = fmt::format(
      "<h2>Recovery: divergence from the dense model on held-out text, nats per token</h2>\n"
      "<svg viewBox='0 0 {0} {1}' style='max-width:{0}px' role=img aria-label='held-out loss by "
      "step'>\n",
      kLeft + kWidth + 20, kHeight + 50);
  for (const double part : {0.0, 0.5, 1.0}) {
    const double y = 10 + kHeight * (1 - part);
    text += fmt::format(
        "<line x1={0} x2={1} y1={2:.1f} y2={2:.1f} stroke='var(--line)'/><text x={3} y={4:.1f} "
        "text-anchor=end>{5:.3g}</text>\n<text x={6:.1f} y={7} text-anchor=middle>{8:.0f}</text>\n",
        kLeft, kLeft + kWidth, y, kLeft - 4, y + 4, part * highest, kLeft + part * kWidth,
        kHeight + 26, part * steps);
  }
  for (size_t r = 0; r < runs.size(); ++r) {
    if (!runs[r].report.recovery) continue;
    std::string points;
    for (const RecoveryReport::HeldOut& measured : runs[r].report.recovery->held_out) {
      points +=
          fmt::format("{:.1f},{:.1f} ", kLeft + kWidth * static_cast<double>(measured.step) / steps,
                      10 + kHeight * (1 - measured.loss / highest));
    }
    text += fmt::format(
        "<polyline points='{}' fill=none stroke='{}' stroke-width=2><title>{}</title>"
        "</polyline>\n",
        points, color(r), markup_escaped(runs[r].name));
  }
  return text + fmt::format("<text x={} y={} text-anchor=middle>steps</text>\n</svg>\n",
                            kLeft + kWidth / 2, kHeight + 44);
}

std::string time_table(const std::vector<Run>& runs) {
  std::set<std::string> phases;
  double longest = 0.0;
  for (const Run& run : runs) {
    for (const auto& [phase, seconds] : run.report.elapsed_s) {
      phases.insert(phase);
      longest = std::max(longest, seconds);
    }
  }
  std::string text = "<div class=wide><table>\n";
  for (const std::string& phase : phases) {
    text += "<tr><th>" + markup_escaped(phase) + "</th>";
    for (size_t r = 0; r < runs.size(); ++r) {
      const std::map<std::string, double>& elapsed_s = runs[r].report.elapsed_s;
      const auto found = elapsed_s.find(phase);
      const double seconds = found == elapsed_s.end() ? 0.0 : found->second;
      text += fmt::format(
          "<td><span class=key style='background:{};width:{:.1f}px'></span>{:.1f} s</td>", color(r),
          longest > 0 ? 120 * seconds / longest : 0.0, seconds);
    }
    text += "</tr>\n";
  }
  return text + "</table></div>\n";
}

std::string lists(const std::vector<Run>& runs, const char* title,
                  std::vector<std::string> (*lines_of)(const RunReport&)) {
  std::string text;
  for (const Run& run : runs) {
    const std::vector<std::string> lines = lines_of(run.report);
    if (lines.empty()) continue;
    text += "<p>" + markup_escaped(run.name) + "</p><ul>";
    for (const std::string& line : lines) text += "<li>" + markup_escaped(line) + "</li>";
    text += "</ul>\n";
  }
  return text.empty() ? "" : fmt::format("<h2>{}</h2>\n{}", title, text);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string html_page(const std::vector<NamedReport>& reports) {
  const std::vector<Run> runs = read_runs(reports);
  std::string text = fmt::format(
      "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
      "content='width=device-width'><title>prune report</title><style>{}</style>\n"
      "<h1>prune report</h1>\n",
      kStyle);
  text += results_table(runs);
  text += "<h2>Sparsity by block</h2>\n" + sparsity_chart(runs);
  text += "<h2>Loss of every layer</h2>\n" + loss_chart(runs);
  text += recovery_chart(runs);
  text += "<h2>Time by phase</h2>\n" + time_table(runs);
  text += lists(runs, "Schedules tried: perplexity on held-out calibration text", &candidate_lines);
  text += lists(runs, "Fallbacks: not done as asked", &fallback_lines);
  return text;
}

std::string csv_table(const std::vector<NamedReport>& reports) {
  std::string text =
      "report,layer,block,rows,cols,group,sparsity,loss_estimated,loss_measured,energy,damp_used,"
      "elapsed_s\n";
  const auto optional = [](const std::optional<double>& value) {
    return value ? fmt::format("{}", *value) : "";
  };
  for (const Run& run : read_runs(reports)) {
    for (const LayerReport& layer : run.report.layers) {
      text +=
          fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(run.name),
                      csv_field(layer.name), layer.block(), layer.rows, layer.cols, layer.group,
                      layer.sparsity_reached(), optional(layer.loss_estimated), layer.loss_measured,
                      optional(layer.energy), layer.damp_used, layer.elapsed_s);
    }
  }
  return text;
}

}  // namespace prune::report
