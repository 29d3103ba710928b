#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace prune::report {

/// A prune_report.json and the name to show for it.
struct NamedReport {
  std::string name;
  nlohmann::json content;
};

/// One self-contained HTML page with these runs side by side: a table of results, sparsity by block,
/// estimated against measured loss, time by phase, candidates of --schedule auto, fallbacks.
/// @throws Error(input) as read_report(), naming the report too.
std::string html_page(const std::vector<NamedReport>& reports);

/// CSV with a header and one line per layer and report: report,layer,block,rows,cols,group,sparsity,
/// loss_estimated,loss_measured,energy,damp_used,elapsed_s. A missing value is an empty field.
/// @throws Error(input) as html_page.
std::string csv_table(const std::vector<NamedReport>& reports);

}  // namespace prune::report
