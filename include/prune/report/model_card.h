#pragma once

#include <prune/report/run_report.h>

#include <string>

namespace prune::report {

/// The README.md of an output, with the hub's front matter: what was done, with which options, and the
/// perplexities. Holds nothing that differs between two runs of the same command, and no path.
/// @param license of the source, as its own card names it; empty if it does not.
std::string model_card(const RunReport& report, const std::string& license);

/// "license:" of a model card's front matter; empty if it has none.
std::string license_of(const std::string& card);

}  // namespace prune::report
