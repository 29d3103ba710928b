#include <fmt/format.h>
#include <fmt/ranges.h>
#include <prune/core/json_file.h>
#include <prune/report/units_report.h>

#include <algorithm>

namespace prune::report {
namespace {

json to_json(const std::optional<BlocksReport>& blocks) {
  if (!blocks) return nullptr;
  json removed = json::array();
  for (const BlocksReport::Removed& one : blocks->removed) {
    removed.push_back({{"block", one.block}, {"loss", one.loss}});
  }
  return {{"before", blocks->before}, {"after", std::ssize(blocks->kept())},
          {"tokens", blocks->tokens}, {"loss_before", blocks->loss_before},
          {"removed", removed},       {"measured", blocks->measured}};
}

json to_json(const std::optional<UnitsInBlocksReport>& units) {
  if (!units) return nullptr;
  return {{"before", units->before}, {"after", units->after}, {"errors", units->errors}};
}

std::optional<UnitsInBlocksReport> units_in_blocks(const json& units) {
  if (units.is_null()) return std::nullopt;
  return UnitsInBlocksReport{.before = require<int64_t>(units, "before"),
                             .after = require<int64_t>(units, "after"),
                             .errors = require<std::vector<double>>(units, "errors")};
}

}  // namespace

std::vector<int64_t> BlocksReport::kept() const {
  std::vector<int64_t> kept;
  for (int64_t block = 0; block < before; ++block) {
    if (std::ranges::find(removed, block, &Removed::block) == removed.end()) kept.push_back(block);
  }
  return kept;
}

json to_json(const std::optional<UnitsReport>& units) {
  if (!units) return nullptr;
  return {{"blocks", to_json(units->blocks)},
          {"heads", to_json(units->key_heads)},
          {"ffn", to_json(units->channels)}};
}

std::optional<UnitsReport> units_report(const json& report) {
  const json units = value_or<json>(report, "units", nullptr);
  if (units.is_null()) return std::nullopt;
  UnitsReport result{.key_heads = units_in_blocks(value_or<json>(units, "heads", nullptr)),
                     .channels = units_in_blocks(value_or<json>(units, "ffn", nullptr))};
  const json blocks = value_or<json>(units, "blocks", nullptr);
  if (blocks.is_null()) return result;
  result.blocks = BlocksReport{.before = require<int64_t>(blocks, "before"),
                               .tokens = require<int64_t>(blocks, "tokens"),
                               .loss_before = require<double>(blocks, "loss_before"),
                               .measured = require<std::vector<double>>(blocks, "measured")};
  for (const json& removed : require<json>(blocks, "removed")) {
    result.blocks->removed.push_back(
        {.block = require<int64_t>(removed, "block"), .loss = require<double>(removed, "loss")});
  }
  return result;
}

std::string units_line(const UnitsReport& units) {
  std::vector<std::string> parts;
  if (units.blocks) {
    parts.push_back(fmt::format("{} of {} blocks stay", std::ssize(units.blocks->kept()),
                                units.blocks->before));
  }
  if (units.key_heads) {
    parts.push_back(fmt::format("{} of {} key heads stay in each attention", units.key_heads->after,
                                units.key_heads->before));
  }
  if (units.channels) {
    parts.push_back(fmt::format("{} of {} channels stay in each feed-forward",
                                units.channels->after, units.channels->before));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace prune::report
