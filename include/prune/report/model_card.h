#pragma once

#include <prune/report/run_report.h>

#include <string>

namespace prune::report {

/// README.md of a pruned checkpoint, with the hub's front matter: what was done, with which options, and the
/// perplexities. Two runs of the same command give the same text, and it contains no paths.
/// @param license  license_of() the original model's card
std::string model_card(const RunReport& report, const std::string& license);

/// Value of "license:" in a model card's front matter; empty if the card has none.
std::string license_of(const std::string& card);

}  // namespace prune::report
