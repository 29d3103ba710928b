#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace prune::report {

/// Which blocks were removed.
struct BlocksReport {
  /// The mean loss of the measured tokens without the block and those removed before it, in nats.
  struct Removed {
    int64_t block = 0;
    double loss = 0.0;
  };
  int64_t before = 0;
  int64_t tokens = 0;                 ///< measured
  double loss_before = 0.0;           ///< of the whole model
  std::vector<Removed> removed = {};  ///< in the sequence of their removal
  /// By block: the loss without it and those that were gone when it was last measured.
  std::vector<double> measured = {};

  std::vector<int64_t> kept() const;
};

/// Units of which as many stay in every block that has some.
struct UnitsInBlocksReport {
  int64_t before = 0;
  int64_t after = 0;
  /// By block that stays: the share of its layer's output energy that is lost. 0 for a block without such units.
  std::vector<double> errors = {};
};

/// Which blocks, heads and channels were removed.
struct UnitsReport {
  std::optional<BlocksReport> blocks = {};
  std::optional<UnitsInBlocksReport> key_heads = {};
  std::optional<UnitsInBlocksReport> channels = {};
};

nlohmann::json to_json(const std::optional<UnitsReport>& units);
/// Inverse of to_json(). @throws Error(input) as read_report()
std::optional<UnitsReport> units_report(const nlohmann::json& report);

/// "22 of 30 blocks stay; 1024 of 1536 channels of each feed-forward stay".
std::string units_line(const UnitsReport& units);

}  // namespace prune::report
