#pragma once

#include <future>

#include "journal.h"
#include "prune_layer.h"

namespace prune::pipeline {

/// What pruning a layer gave.
struct Outcome {
  PrunedLayer pruned;
  report::LayerReport report;
};

/// Hashes, writes and syncs a pruned layer in a thread of its own while the next one is computed. In the
/// report, and recorded, it is from the next call on, when its bytes are on the disk.
class LayerWriter {
 public:
  LayerWriter(Journal& journal, report::RunReport& report) : journal_(&journal), report_(&report) {}
  LayerWriter(const LayerWriter&) = delete;
  LayerWriter& operator=(const LayerWriter&) = delete;
  /// Where a signal or an error ends the pass, the layer at hand is still recorded, if it can be.
  ~LayerWriter();

  /// Begins to write a layer once the one before is recorded. @throws Error of the one before.
  void add(Outcome outcome);
  /// Waits until all layers are recorded. @throws Error of the last one.
  void finish();

 private:
  Journal* journal_;
  report::RunReport* report_;
  std::future<report::LayerReport> writing_;
};

}  // namespace prune::pipeline
