#pragma once

#include <prune/core/progress.h>
#include <prune/models/model.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>

namespace prune::stream {

/// A block in memory, with its place in the model.
struct LoadedBlock {
  int64_t number = 0;
  bool last = false;
  std::unique_ptr<models::Block> block;

  models::Block& operator*() const { return *block; }
  models::Block* operator->() const { return block.get(); }
};

/// All blocks of a model in order, for a range-for loop. One block is in memory at a time: it is loaded when
/// the loop reaches it, while the next one is prefetched, and dropped when the loop moves on. Between blocks the
/// loop reports its progress and throws Error(interrupted) if a signal came.
class Walk {
 public:
  /// Begins the phase: make the walk before anything that belongs to it, such as the embedding.
  /// @param phase what the loop does ("prune"), as Progress::begin() shows it
  /// @param experts  kOnDemand for loops that run blocks by HiddenStates or CalibrationStream and need no replaced
  ///                 weight again after the block
  Walk(const models::Model& model, const std::string& phase, Progress& progress,
       models::ExpertWeights experts = models::ExpertWeights::kOnDemand);

  class Iterator {
   public:
    LoadedBlock& operator*() { return current_; }
    Iterator& operator++();
    bool operator!=(std::default_sentinel_t) const { return current_.block != nullptr; }

   private:
    friend class Walk;
    explicit Iterator(const Walk& walk);
    void load(int64_t number);

    const Walk* walk_;
    LoadedBlock current_;
  };

  Iterator begin() const { return Iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  const models::Model* model_;
  Progress* progress_;
  models::ExpertWeights experts_;
};

}  // namespace prune::stream
