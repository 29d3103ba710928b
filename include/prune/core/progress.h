#pragma once

#include <cstdint>
#include <string>

namespace prune {

/// Receives the progress of a run; the command line shows it as one live line or as log lines.
class Progress {
 public:
  virtual ~Progress() = default;
  /// Begins a phase ("estimate", "prune", "evaluate dense", ...) of `steps` equal steps.
  virtual void begin(const std::string& phase, int64_t steps) = 0;
  /// Describes the current step, e.g. by the layer it works on.
  virtual void detail(const std::string& text) = 0;
  /// Completes one step.
  virtual void advance() = 0;
};

/// Discards progress.
class NoProgress : public Progress {
 public:
  void begin(const std::string&, int64_t) override {}
  void detail(const std::string&) override {}
  void advance() override {}
};

}  // namespace prune
