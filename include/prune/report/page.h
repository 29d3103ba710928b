#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace prune::report {

/// A report as it was read from its file.
struct NamedReport {
  std::string name;  ///< the file
  nlohmann::json content;
};

/// One HTML page of these runs side by side that needs nothing from elsewhere: a table of results, sparsity
/// by block, estimated against measured loss, time by phase, candidates of --schedule auto, fallbacks.
/// @throws Error(input) naming the file and the key that a report lacks.
std::string html_page(const std::vector<NamedReport>& reports);

/// One line per layer and report: "report,layer,block,rows,cols,group,sparsity,loss_estimated,
/// loss_measured,energy,damp_used,elapsed_s", with a header; what is absent is empty.
/// @throws Error(input) as html_page.
std::string csv_table(const std::vector<NamedReport>& reports);

}  // namespace prune::report
