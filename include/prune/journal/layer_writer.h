#pragma once

#include <prune/journal/journal.h>
#include <prune/solver/prune_weight.h>

#include <future>

namespace prune::journal {

/// Hashes, writes and syncs a pruned layer on a thread of its own while the next one is computed. The layer is
/// recorded in the journal by the next call, once its bytes are on the disk.
class LayerWriter {
 public:
  explicit LayerWriter(Journal& journal) : journal_(&journal) {}
  LayerWriter(const LayerWriter&) = delete;
  LayerWriter& operator=(const LayerWriter&) = delete;
  /// If a signal or an error ends the pass, the layer being written is still recorded where possible.
  ~LayerWriter();

  /// Starts to write a layer after recording the previous one.
  /// @param pruned tensors on the CPU
  /// @throws Error of the previous one.
  void add(solver::StoredResult pruned, report::LayerReport report);
  /// Waits until all layers are recorded. @throws Error of the last one.
  void finish();

 private:
  Journal* journal_;
  std::future<report::LayerReport> writing_;
};

}  // namespace prune::journal
