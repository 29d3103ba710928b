#pragma once

#include <prune/core/progress.h>
#include <prune/dist/site_hessians.h>
#include <prune/stream/calibration_stream.h>

namespace prune::dist {

/// How a site's Hessian is factored: hessian::factorize_.
struct FactorOptions {
  double percdamp = 0.01;
  bool act_order = false;
};

/// The steps that every pruning of a block has in common, whether for the output, for a trial of --schedule auto
/// or for a plan: Hessians from the calibration stream, and the factor of one site at a time.
class CalibratedSteps : public BlockSteps {
 public:
  CalibratedSteps(const BlockRoute& route, models::Block& block,
                  stream::CalibrationStream& calibration, const SampleSplit& split,
                  const FactorOptions& options, Communicator& comm, Progress& progress)
      : block_(block),
        progress_(progress),
        options_(options),
        calibration_(calibration),
        hessians_(route, block, split, comm) {}

  void accumulate(const Stage& stage) override;
  void factorize(const SiteRoute& site) override;
  void release(const SiteRoute& site) override;

 protected:
  /// The layer at this position. A run can be interrupted before it is solved.
  models::Linear& begin(size_t reader);

  models::Block& block() const { return block_; }
  /// What the block's experts have got, once they are reached.
  const models::ExpertLoad& load() const { return hessians_.load(); }
  /// Of the site in progress.
  const hessian::HessianFactor& factor() const { return factor_; }

 private:
  models::Block& block_;
  hessian::HessianFactor factor_;
  Progress& progress_;
  FactorOptions options_;
  stream::CalibrationStream& calibration_;
  SiteHessians hessians_;
};

}  // namespace prune::dist
