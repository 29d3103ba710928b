#pragma once

#include <cstdint>
#include <string>

namespace prune {

/// Where a run says how far it is; the command line shows it as one live line or as log lines.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A new phase ("estimate", "prune", "evaluate dense", ...) of `steps` equal steps begins.
  virtual void begin(const std::string& phase, int64_t steps) = 0;
  /// Something within the running step, e.g. the layer at hand.
  virtual void detail(const std::string& text) = 0;
  /// One more step is done.
  virtual void advance() = 0;
};

/// For who shows nothing.
class NoProgress : public Progress {
 public:
  void begin(const std::string&, int64_t) override {}
  void detail(const std::string&) override {}
  void advance() override {}
};

}  // namespace prune
