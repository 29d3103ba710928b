#include <prune/core/path_name.h>
#include <prune/report/run_report.h>

#include <algorithm>
#include <cmath>

namespace prune::report {
namespace {

constexpr int kBarWidth = 40;

// A bar that fills `fraction` of kBarWidth, to an eighth of a character.
std::string bar(double fraction) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<int>(std::lround(fraction * kBarWidth * 8));
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  return text + kEighths[eighths % 8];
}

struct BlockTotals {
  int64_t weights = 0;
  int64_t zeros = 0;
  int64_t group = 0;
};

std::vector<BlockTotals> totals_by_block(const schedule::SparsitySchedule& schedule) {
  std::vector<BlockTotals> totals;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    totals.resize(std::max(totals.size(), static_cast<size_t>(layer.block) + 1));
    BlockTotals& block = totals[static_cast<size_t>(layer.block)];
    block.weights += layer.weights;
    block.zeros += layer.zeros;
    block.group = layer.group;
  }
  return totals;
}

std::string percent(int64_t part, int64_t whole) {
  return fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string rank_table(const std::vector<RankReport>& ranks) {
  std::string text =
      "  rank  samples  Hessian GFLOP  sent: Hessians     weights       other  peak memory\n";
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankReport& r = ranks[rank];
    text += fmt::format("  {:>4}  {:>7}  {:>13.1f}  {:>14}  {:>10}  {:>10}  {:>11}\n", rank,
                        r.samples, r.hessian_flops / 1e9, human_bytes(r.sent_hessian_bytes),
                        human_bytes(r.sent_weight_bytes), human_bytes(r.sent_other_bytes),
                        human_bytes(r.peak_host_bytes));
  }
  return text;
}

}  // namespace

std::string calibration_line(const TokensDescription& tokens, bool last_names) {
  const auto shown = [&](const std::string& name) { return last_names ? path_name(name) : name; };
  std::string texts;
  for (const calibration::TextDescription& text : tokens.texts) {
    texts += fmt::format("{}{} ({})", texts.empty() ? "" : ", ", shown(text.name), text.samples);
  }
  return fmt::format("{} x {} tokens of {}", tokens.nsamples, tokens.seqlen,
                     tokens.texts.size() > 1 ? texts : shown(tokens.source));
}

std::string schedule_line(const schedule::SparsitySchedule& schedule) {
  std::string text = fmt::format("schedule {}: {} of {} weights", schedule.kind,
                                 percent(schedule.zeros(), schedule.weights()), schedule.weights());
  double least = 1.0;
  double most = 0.0;
  for (const schedule::LayerSparsity& layer : schedule.layers) {
    const double sparsity = static_cast<double>(layer.zeros) / static_cast<double>(layer.weights);
    least = std::min(least, sparsity);
    most = std::max(most, sparsity);
  }
  if (schedule.groups.size() > 1) {
    text += fmt::format(", {} groups from {:.4f} to {:.4f}", schedule.groups.size(), least, most);
  }
  return text;
}

std::string schedule_table(const schedule::SparsitySchedule& schedule) {
  std::string text = schedule_line(schedule) + "\n";
  if (schedule.groups.size() > 1) {
    text += "  group  centroid  sparsity\n";
    for (size_t g = 0; g < schedule.groups.size(); ++g) {
      text += fmt::format("  {:>5}  {:>8.3f}  {:>8.4f}\n", g, schedule.groups[g].centroid,
                          schedule.groups[g].sparsity);
    }
  }
  const std::vector<BlockTotals> totals = totals_by_block(schedule);
  for (size_t b = 0; b < totals.size(); ++b) {
    if (totals[b].weights == 0) continue;
    const double sparsity =
        static_cast<double>(totals[b].zeros) / static_cast<double>(totals[b].weights);
    text += fmt::format("  block {:>3}  group {:>2}  {:.4f} {}\n", b, totals[b].group, sparsity,
                        bar(sparsity));
  }
  return text;
}

std::string summary_table(const RunReport& report) {
  std::string text;
  const auto row = [&](const std::string& key, const std::string& value) {
    text += fmt::format("  {:<18} {}\n", key, value);
  };
  if (report.units) row("units", units_line(*report.units));
  if (report.experts) row("experts", experts_line(*report.experts));
  row("sparsity", fmt::format("{} ({} of {} weights)", percent(report.zeros(), report.weights()),
                              report.zeros(), report.weights()));
  if (const auto [pruning, rounding] = report.losses(); rounding > 0.0) {
    row("error",
        fmt::format("{:.1f} % from pruning, {:.1f} % from rounding",
                    100 * pruning / (pruning + rounding), 100 * rounding / (pruning + rounding)));
  }
  if (report.dense) row("perplexity dense", fmt::format("{:.2f}", report.dense->perplexity));
  if (report.pruned) row("perplexity pruned", fmt::format("{:.2f}", report.pruned->perplexity));
  double elapsed_s = 0.0;
  for (const auto& [phase, seconds] : report.elapsed_s) elapsed_s += seconds;
  row("time", fmt::format("{:.1f} s on {}", elapsed_s, report.device));
  if (report.ranks.size() > 1) text += rank_table(report.ranks);
  row("peak memory",
      human_bytes(report.peak_host_bytes) +
          (report.peak_device_bytes > 0 ? ", device " + human_bytes(report.peak_device_bytes)
                                        : ""));
  for (const Fallback& fallback : report.fallbacks) {
    row("fallback", fallback.where + ": " + fallback.what);
  }
  row("output", report.output ? report.output->folder : "");
  return text;
}

}  // namespace prune::report
